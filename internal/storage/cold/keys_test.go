package cold_test

import (
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// anyKeys serves objects of any key at all, and keeps nothing that is written: the embedded server keeps its keys as files,
// so it cannot hold those of which these tests are about.
type anyKeys map[string]string

type listedKey struct {
	Key, ETag, LastModified string
	Size                    int
}

type listedPage struct {
	XMLName               xml.Name `xml:"ListBucketResult"`
	EncodingType          string   `xml:",omitempty"`
	IsTruncated           bool
	NextContinuationToken string `xml:",omitempty"`
	Contents              []listedKey
	CommonPrefixes        []struct{ Prefix string }
}

func (s anyKeys) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	switch body, ok := s[key]; {
	case r.Method == http.MethodGet && r.URL.Query().Get("list-type") == "2":
		s.list(w, r)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("ETag", etagOf("")) // as if
	case !ok:
		http.Error(w, "<Error><Code>NoSuchKey</Code></Error>", http.StatusNotFound)
	default:
		w.Header().Set("ETag", etagOf(body))
		http.ServeContent(w, r, "", time.Unix(1e9, 0), strings.NewReader(body))
	}
}

func etagOf(body string) string { return fmt.Sprintf("%q", fmt.Sprintf("%032x", len(body))) }

func (s anyKeys) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	after := q.Get("start-after")
	if token := q.Get("continuation-token"); token != "" {
		after = token
	}
	most := 1000
	if n, err := strconv.Atoi(q.Get("max-keys")); err == nil {
		most = n
	}
	page, seen := listedPage{}, map[string]bool{}
	for _, k := range slices.Sorted(maps.Keys(s)) {
		rest, ok := strings.CutPrefix(k, q.Get("prefix"))
		if !ok || k <= after || q.Get("delimiter") != "" && strings.HasSuffix(after, "/") && strings.HasPrefix(k, after) {
			continue
		}
		if len(page.Contents)+len(page.CommonPrefixes) == most {
			page.IsTruncated = true
			break
		}
		if d := q.Get("delimiter"); d != "" {
			if i := strings.Index(rest, d); i >= 0 {
				p := k[:len(k)-len(rest)+i+1]
				if !seen[p] {
					seen[p] = true
					page.CommonPrefixes = append(page.CommonPrefixes, struct{ Prefix string }{p})
				}
				page.NextContinuationToken = p
				continue
			}
		}
		page.NextContinuationToken = k
		page.Contents = append(page.Contents, listedKey{k, etagOf(s[k]), "2001-09-09T01:46:40Z", len(s[k])})
	}
	if !page.IsTruncated {
		page.NextContinuationToken = ""
	}
	w.Header().Set("Content-Type", "application/xml")
	_ = xml.NewEncoder(w).Encode(page)
}

// withKeys serves objects whose keys are given below the cold prefix.
func withKeys(t *testing.T, objects map[string]string) option {
	all := anyKeys{}
	for k, v := range objects {
		all[keys+k] = v
	}
	srv := httptest.NewServer(all)
	t.Cleanup(srv.Close)
	return func(b *bed) { b.conf.Config.S3.Endpoint, b.conf.Unprobed = srv.URL, true }
}

// TestStrangeKeys: what cannot be a file is left out and counted, what can be is there, and nothing is
// anywhere else.
func TestStrangeKeys(t *testing.T) {
	t.Parallel()
	b := newBed(t, withKeys(t, map[string]string{
		"plain":                  "plain",
		"both":                   "as a file",
		"both/below":             "below",
		"dir/":                   "",
		"dir/f":                  "f",
		"marked/":                "a marker that is not empty",
		"//lead":                 "x",
		"a//b":                   "x",
		"a/b":                    "b",
		"./dot":                  "x",
		"../escape":              "x",
		"up/../../../etc/passwd": "x",
		"up/f":                   "up",
		"up/..":                  "x",
		".":                      "x",
		"..":                     "x",
		"%2e%2e/literal":         "percent",
		"%2e":                    "percent too",
		"%41":                    "not what escaping A gives",
		"100%":                   "sign",
		"new%0Aline":             "line",
		"bytes%FF":               "ff",
		strings.Repeat("n", 255): "longest",
		strings.Repeat("n", 256): "too long",
		"deep/" + strings.Repeat("d/", 400) + "f": "deep",
	}))
	for name, want := range map[string]string{
		"plain": "plain", "both/below": "below", "dir/f": "f", "a/b": "b", "up/f": "up", "%2e%2e/literal": "percent", "%2e": "percent too",
		"%41": "not what escaping A gives", "100%": "sign", "new\nline": "line", "bytes\xff": "ff", strings.Repeat("n", 255): "longest",
		"deep/" + strings.Repeat("d/", 400) + "f": "deep",
	} {
		if got, err := os.ReadFile(b.path(name)); err != nil || string(got) != want {
			t.Errorf("%.40q reads %q, %v", name, got, err)
		}
	}
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"%2e", "%2e%2e", "%41", "100%", "a", "both", "bytes\xff", "deep", "dir", "marked", "new\nline", strings.Repeat("n", 255), "plain", "up"}
	if got := names(entries); !slices.Equal(got, want) {
		t.Errorf("the root has\n%q, not\n%q", got, want)
	}
	for dir, want := range map[string]string{"a": "[b]", "up": "[f]", "both": "[below]", "marked": "[]", "dir": "[f]"} {
		entries, err := os.ReadDir(b.path(dir))
		if got := fmt.Sprint(names(entries)); err != nil || got != want {
			t.Errorf("%s has %s, not %s: %v", dir, got, want, err)
		}
	}
	// A directory in which something is hidden stays, and is not moved without it.
	if got := b.sh(`(rm -r a 2>&1 || true) | grep -o 'Directory not empty'; python3 -c 'import os, errno
try: os.rename("up", "elsewhere")
except OSError as e: print(errno.errorcode[e.errno])'`); got != "Directory not empty\nEXDEV" {
		t.Errorf("says %q", got)
	}
	out, _, code := b.run(t.TempDir(), "ls", "--keys")
	for _, k := range []string{"both ", "//lead ", "a//b ", "../escape ", "up/../../../etc/passwd ", strings.Repeat("n", 256)} {
		if code != 0 || !strings.Contains(out, k) {
			t.Errorf("ls --keys ended with %d and has no %q:\n%s", code, k, out)
		}
	}
	dir := t.TempDir()
	if got := b.ok(dir, "get", "--key", "a//b", "-"); got != "x" {
		t.Errorf("get --key: %q", got)
	}
	b.ok(dir, "get", "--key", "../escape", "here")
	if got, err := os.ReadFile(dir + "/here"); err != nil || string(got) != "x" {
		t.Errorf("get --key: %q, %v", got, err)
	}
}

// TestTenThousandNames reads a directory of 10,000, and a tree of 10,000 in 520.
func TestTenThousandNames(t *testing.T) {
	t.Parallel()
	objects := map[string]string{}
	for i := range 10_000 {
		objects[fmt.Sprintf("flat/f%05d", i)] = "x"
		objects[fmt.Sprintf("tree/d%02d/e%02d/f%05d", i%20, i/20%26, i)] = "x"
	}
	b := newBed(t, withKeys(t, objects))
	if got := b.sh(`ls -l flat | wc -l; ls flat | sort -u | wc -l; find tree -type f | wc -l; find tree -type d | wc -l`); got != "10001\n10000\n10000\n541" {
		t.Errorf("it counts %q", got)
	}
	if r := b.requests(); r["LIST"] > 100 || r["HEAD"] > 0 {
		t.Errorf("that took %v", r)
	}
}
