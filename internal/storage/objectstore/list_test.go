package objectstore

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/matrx/sandbox/internal/testbed"
)

var mu sync.Mutex

func sorted(s []string) []string { slices.Sort(s); return s }

func TestList(t *testing.T) {
	b := newBench(t)
	var all []string
	for i := range 25 {
		k := fmt.Sprintf("%sd%d/f%02d", prefix, i%3, i)
		b.bucket.Put(k, strings.Repeat("x", i), nil)
		all = append(all, k)
	}
	// "d1-x", "d1/..." and "d10" lie in the order of their bytes, not of their components.
	for _, k := range []string{prefix + "d1-x", prefix + "d10", prefix + "d1.y/z"} {
		b.bucket.Put(k, "", nil)
		all = append(all, k)
	}
	sorted(all)
	for _, page := range []int{0, 1, 2, 7, 28, 29} {
		b.proxy.Forget()
		if got := b.keys(ListOptions{Prefix: prefix, MaxKeys: page}); !slices.Equal(got, all) {
			t.Errorf("pages of %d: %q", page, got)
		}
		if n := b.proxy.Count("LIST"); page == 7 && n != 4 {
			t.Errorf("%d requests for pages of 7", n)
		}
	}
	for _, c := range [][2]string{{all[3], all[20]}, {"", all[5]}, {all[10], ""}, {all[5], all[6]}, {all[5] + "x", all[6]}, {all[27], ""}} {
		var want []string
		for _, k := range all {
			if k > c[0] && (c[1] == "" || k < c[1]) {
				want = append(want, k)
			}
		}
		for _, page := range []int{0, 3} {
			if got := b.keys(ListOptions{Prefix: prefix, StartAfter: c[0], EndAt: c[1], MaxKeys: page}); !slices.Equal(got, want) {
				t.Errorf("between %q: %q, want %q", c, got, want)
			}
		}
	}
	want := []string{prefix + "d0/", prefix + "d1-x", prefix + "d1.y/", prefix + "d1/", prefix + "d10", prefix + "d2/"}
	for _, page := range []int{0, 1, 2} {
		if got := b.keys(ListOptions{Prefix: prefix, Delimiter: "/", MaxKeys: page}); !slices.Equal(got, want) {
			t.Errorf("with a delimiter, pages of %d: %q, want %q", page, got, want)
		}
	}
	for e, err := range b.store.List(t.Context(), ListOptions{Prefix: prefix + "d0/f03"}) {
		o, _ := b.bucket.Get(prefix + "d0/f03")
		if err != nil || e.Size != 3 || e.ETag != o.ETag || !e.LastModified.Equal(o.LastModified) {
			t.Errorf("%+v, %v; want %+v", e, err, o)
		}
	}
}

// TestListEndsWithItsReader: a loop that is left early leaves nothing behind.
func TestListEndsWithItsReader(t *testing.T) {
	b := newBench(t)
	for i := range 20 {
		b.bucket.Put(fmt.Sprint("k", i), "", nil)
	}
	g := testbed.Hold()
	b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "LIST"}, After: 1, Do: g})
	for e, err := range b.store.List(t.Context(), ListOptions{MaxKeys: 2}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Key != "k0" {
			t.Errorf("%+v", e)
		}
		<-g.Arrived() // the next page is asked for ahead
		break
	}
}

func TestListErrorIsNotAnEnd(t *testing.T) {
	b := newBench(t)
	for i := range 9 {
		b.bucket.Put(fmt.Sprint("k", i), "", nil)
	}
	b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "LIST"}, After: 2, Do: testbed.Refuse(403, "AccessDenied")})
	var keys []string
	var last error
	for e, err := range b.store.List(t.Context(), ListOptions{MaxKeys: 2}) {
		if err != nil {
			last = err
			continue
		}
		keys = append(keys, e.Key)
	}
	b.want(last, ErrAccessDenied)
	if len(keys) != 4 {
		t.Errorf("%q before it", keys)
	}
}

// answers makes a Store that gets these bodies, one after the other, for its listings.
func answers(t *testing.T, bodies ...string) *Store {
	b := newBench(t, func(o *Options) { o.Patience = 1 })
	for i, body := range bodies {
		b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "LIST"}, After: i, Times: 1, Do: testbed.Answer(http.StatusOK, nil, body)})
	}
	return b.store
}

func listing(next string, encoding string, keys ...string) string {
	var s strings.Builder
	s.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix></Prefix>`)
	for _, k := range keys {
		s.WriteString("<Contents><Key>" + k + "</Key><LastModified>2026-01-02T03:04:05.678Z</LastModified><ETag>&quot;e&quot;</ETag><Size>7</Size><StorageClass>STANDARD</StorageClass><Owner><ID>x</ID><Key>not a key</Key></Owner></Contents>")
	}
	s.WriteString("<IsTruncated>" + strconv.FormatBool(next != "") + "</IsTruncated>")
	if next != "" {
		s.WriteString("<NextContinuationToken>" + next + "</NextContinuationToken>")
	}
	if encoding != "" {
		s.WriteString("<EncodingType>" + encoding + "</EncodingType>")
	}
	return s.String() + "</ListBucketResult>"
}

// TestListOfAWS: the embedded server does not encode names; this is the form of AWS.
func TestListOfAWS(t *testing.T) {
	s := answers(t, listing("t", "url", "a%0Ab", "a+b", "a%2525", "a%2Bb", "%E6%97%A5"), listing("", "", "\U0001f600", "\U0001f601+%41&amp;&#x42;"))
	var got []string
	for e, err := range s.List(t.Context(), ListOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Key)
	}
	if want := []string{"a\nb", "a b", "a%25", "a+b", "日", "\U0001f600", "\U0001f601+%41&B"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestListDistrust: a caller that compares a listing with the keys that it knows takes a missing
// key for deleted. So a listing that cannot be whole is an error.
func TestListDistrust(t *testing.T) {
	whole := listing("", "", "a", "b")
	for name, bodies := range map[string][]string{
		"out of order in a page":    {listing("", "", "b", "a")},
		"out of order over pages":   {listing("t", "", "c", "d"), listing("", "", "a")},
		"the same again":            {listing("t", "", "a"), listing("", "", "a")},
		"goes on, and not where":    {strings.Replace(whole, ">false<", ">true<", 1)},
		"cut":                       {whole[:len(whole)-5]},
		"cut in the middle":         {whole[:len(whole)/2]},
		"another document":          {"<Other/>"},
		"no document":               {"hello"},
		"a size that is no number":  {strings.Replace(whole, "<Size>7<", "<Size>x<", 1)},
		"an error in a 200":         {`<?xml version="1.0"?><Error><Code>InternalError</Code></Error>`},
		"a bad escape":              {listing("", "url", "a%zz")},
		"keys outside the prefix":   {strings.Replace(whole, "<Key>b<", "<Key><", 1)},
		"empty":                     {""},
		"an element closed by none": {"<ListBucketResult><Contents></ListBucketResult>"},
	} {
		t.Run(name, func(t *testing.T) {
			s := answers(t, bodies...)
			var err error
			for _, e := range s.List(t.Context(), ListOptions{}) {
				err = e
			}
			if err == nil {
				t.Error("no error")
			}
		})
	}
}

// xmlPage is the same document for encoding/xml.
type xmlPage struct {
	XMLName  xml.Name `xml:"ListBucketResult"`
	Contents []struct{ Key, ETag, LastModified, Size string }
	Prefixes []struct{ Prefix string } `xml:"CommonPrefixes"`
}

// FuzzPage compares what we read of a page with what encoding/xml reads of it.
func FuzzPage(f *testing.F) {
	f.Add(listing("", "", "a", "b&amp;c", "d&#10;e"))
	f.Add(listing("next", "url", "a%20b"))
	f.Add(`<a:ListBucketResult xmlns:a="x"><!-- c --><a:Contents><a:Key>k</a:Key><a:Size>1</a:Size></a:Contents><CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes></a:ListBucketResult>`)
	f.Fuzz(func(t *testing.T, doc string) {
		p, err := parsePage([]byte(doc), "")
		if err != nil || strings.Contains(doc, "EncodingType") || strings.ContainsAny(doc, "\r") || !slices.IsSorted(names(p.entries)) {
			return
		}
		var x xmlPage
		if err := xml.Unmarshal([]byte(doc), &x); err != nil {
			return // encoding/xml is the stricter one
		}
		if len(x.Contents)+len(x.Prefixes) != len(p.entries) {
			t.Fatalf("%d entries, encoding/xml has %d in %q", len(p.entries), len(x.Contents)+len(x.Prefixes), doc)
		}
	})
}

func names(es []Entry) (n []string) {
	for _, e := range es {
		n = append(n, e.name())
	}
	return n
}

func BenchmarkPage(b *testing.B) {
	var keys []string
	for i := range 1000 {
		keys = append(keys, fmt.Sprintf("users/u/hot/d%02d/e%02d/f%05d", i/100, i%26, i))
	}
	doc := []byte(listing("", "url", keys...))
	b.ReportAllocs()
	b.SetBytes(int64(len(doc)))
	for b.Loop() {
		if _, err := parsePage(doc, "users/u/hot/"); err != nil {
			b.Fatal(err)
		}
	}
}
