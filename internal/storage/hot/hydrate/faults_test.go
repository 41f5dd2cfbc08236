package hydrate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/testbed"
)

// Each kind of failure leaves as its own error, with a sentence that says what mends it,
// and with S3 and the journal's word on it unchanged (tryHydrate looks).
func TestErrors(t *testing.T) {
	for _, c := range []struct {
		name  string
		do    func(h *home, p *testbed.FaultProxy)
		is    error
		words []string
	}{
		{name: "missing bucket", is: objectstore.ErrNoBucket, words: []string{"no-such-bucket", "bucket does not exist"},
			do: func(h *home, p *testbed.FaultProxy) {
				h.s3.Bucket, h.cfg.S3.Bucket = "no-such-bucket", "no-such-bucket"
			}},
		{name: "access denied", is: objectstore.ErrAccessDenied, words: []string{"access denied", "users/u/hot/"},
			do: func(h *home, p *testbed.FaultProxy) {
				p.Add(testbed.Fault{When: testbed.Match{Verb: "LIST"}, Do: testbed.Refuse(403, "AccessDenied")})
			}},
		{name: "access denied to every key", is: objectstore.ErrAccessDenied, words: []string{"access denied", "dir/f"},
			do: func(h *home, p *testbed.FaultProxy) {
				p.Add(testbed.Fault{When: testbed.Match{Verb: "GET", Regexp: "/hot/dir/"}, Do: testbed.Refuse(403, "AccessDenied")})
			}},
		{name: "access denied to the rules", is: objectstore.ErrAccessDenied, words: []string{"access denied", ".sandboxignore"},
			do: func(h *home, p *testbed.FaultProxy) {
				h.put(".sandboxignore", "x")
				p.Add(testbed.Fault{When: testbed.Match{Verb: "GET", Suffix: "/.sandboxignore"}, Do: testbed.Refuse(403, "AccessDenied")})
			}},
		{name: "wrong region", is: objectstore.ErrWrongRegion, words: []string{"S3_REGION=eu-west-3"},
			do: func(h *home, p *testbed.FaultProxy) {
				p.Add(testbed.Fault{Do: testbed.RefuseWith(400, "AuthorizationHeaderMalformed", map[string]string{"X-Amz-Bucket-Region": "eu-west-3"})})
			}},
		{name: "expired credentials", is: objectstore.ErrExpiredCredentials, words: []string{"expired"},
			do: func(h *home, p *testbed.FaultProxy) {
				p.Add(testbed.Fault{Do: testbed.Refuse(400, "ExpiredToken")})
			}},
		{name: "expired credentials in the middle", is: objectstore.ErrExpiredCredentials, words: []string{"expired"},
			do: func(h *home, p *testbed.FaultProxy) {
				p.Add(testbed.Fault{When: testbed.Match{Verb: "GET", Regexp: "/hot/dir/"}, After: 3, Do: testbed.Refuse(400, "ExpiredToken")})
			}},
		{name: "a home that is too large", is: errDiskFull, words: []string{"too small", "MB more"},
			do: func(h *home, p *testbed.FaultProxy) {
				h.tmpfs("size=1m")
				h.put("large", strings.Repeat("x", 3<<20))
			}},
		{name: "too many files", is: errDiskFull, words: []string{"too small", "inodes"},
			do: func(h *home, p *testbed.FaultProxy) { h.tmpfs("nr_inodes=8") }},
		{name: "a disk that fills up meanwhile", is: errDiskFull, words: []string{"is full", "no space left on device"},
			do: func(h *home, p *testbed.FaultProxy) {
				h.tmpfs("size=1m")
				h.put("a", strings.Repeat("x", 600<<10))
				p.Add(testbed.Fault{When: testbed.Match{Verb: "GET", Suffix: "/hot/a"}, Times: 1, Do: testbed.Call(func() {
					if err := os.WriteFile(h.at("filler"), make([]byte, 600<<10), 0o644); err != nil {
						h.t.Error(err)
					}
				})})
			}},
		{name: "S3 away", is: objectstore.ErrUnavailable, words: []string{"connection refused", "can be reached"},
			do: func(h *home, p *testbed.FaultProxy) { h.cfg.HydrateTimeout = 2 * time.Second; p.Away() }},
		{name: "S3 too slow", is: context.DeadlineExceeded, words: []string{"HYDRATE_TIMEOUT_SECONDS (2)", "of 20 files", "goes on from there"},
			do: func(h *home, p *testbed.FaultProxy) {
				h.cfg.HydrateTimeout = 2 * time.Second
				p.Add(testbed.Fault{When: testbed.Match{Verb: "GET", Suffix: "/dir/f7"}, Do: testbed.Stall()})
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			leaks(t)
			h := newHome(t)
			for i := range 20 {
				h.put(fmt.Sprintf("dir/f%d", i), fmt.Sprint(i))
			}
			p := h.through()
			c.do(h, p)
			_, err := h.tryHydrate(t.Context())
			if err == nil {
				t.Fatal("no error")
			}
			t.Log(err)
			if !errors.Is(err, c.is) && !errors.Is(c.is, context.DeadlineExceeded) {
				t.Errorf("it is no %q: %v", c.is, err)
			}
			for _, w := range append(c.words, "cannot hydrate "+h.path) {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q is not in: %v", w, err)
				}
			}
		})
	}
}

// What cannot be read stays in S3 and is named; the rest of the home comes.
func TestUnreadableObjectsStayInS3(t *testing.T) {
	for name, do := range map[string]testbed.Action{
		"archived":          testbed.Refuse(403, "InvalidObjectState"),
		"denied":            testbed.Refuse(403, "AccessDenied"),
		"an invalid object": testbed.Refuse(400, "InvalidObjectName"),
		"damaged":           testbed.SetResponseHeader("X-Amz-Checksum-Crc32c", "AAAAAA=="),
	} {
		t.Run(name, func(t *testing.T) {
			leaks(t)
			h := newHome(t)
			for i := range 20 {
				h.put(fmt.Sprintf("dir/f%d", i), fmt.Sprint(i))
			}
			h.through().Add(testbed.Fault{When: testbed.Match{Verb: "GET", Suffix: "/dir/f7"}, Do: do})
			r := h.hydrate()
			if r.Files != 19 || len(r.Kept) != 1 || r.Kept[0].Path != "dir/f7" {
				t.Errorf("%d files, kept %v", r.Files, r.Kept)
			}
			if _, err := os.Lstat(h.at("dir/f7")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("dir/f7: %v", err)
			}
			h.want("dir/f8", "8")
		})
	}
}

// A passing fault is tried again, and does not show.
func TestPassingFaults(t *testing.T) {
	leaks(t)
	h := newHome(t)
	src := t.TempDir()
	testbed.SmallTree(t, src, 120, 10, 3000)
	h.upload(src, testbed.Scan(t, src))
	big := strings.Repeat("0123456789abcdef", 200<<10/16)
	h.put("big", big)
	want := agents(testbed.Scan(t, src))
	for _, f := range []testbed.Fault{
		{When: testbed.Match{Verb: "GET", Regexp: "/f00"}, Times: 40, Do: testbed.Refuse(500, "InternalError")},
		{When: testbed.Match{Verb: "GET", Regexp: "/f00"}, Times: 40, Do: testbed.RefuseWith(503, "SlowDown", map[string]string{"Retry-After": "1"})},
		{When: testbed.Match{Verb: "LIST"}, Times: 1, Do: testbed.ResetResponse(500)},
		{When: testbed.Match{Verb: "LIST"}, Times: 1, Do: testbed.Truncate(500)},
		{When: testbed.Match{Verb: "GET", Suffix: "/big"}, Times: 2, Do: testbed.ResetResponse(100_000)},
		{When: testbed.Match{Verb: "GET", Suffix: "/big"}, Times: 1, Do: testbed.CorruptResponse(150_000)},
		{When: testbed.Match{Verb: "GET", Regexp: "/f000"}, Times: 10, Do: testbed.CorruptResponse(7)},
		{When: testbed.Match{Verb: "GET", Regexp: "/f000"}, Times: 10, Do: testbed.Truncate(11)},
		{When: testbed.Match{Verb: "GET", Regexp: "/f000"}, Times: 10, Do: testbed.ResetBefore()},
	} {
		p := h.through()
		a := p.Add(f)
		r := h.hydrate()
		if a.Hits() == 0 {
			t.Errorf("%+v met nobody", f.When)
		}
		if len(r.Conflicts)+len(r.Kept) > 0 {
			t.Errorf("%+v", r)
		}
		got := testbed.Scan(t, h.path)
		h.want("big", big)
		testbed.WantTree(t, want, got.Without("big"), testbed.Ignore{})
		h.lose()
	}
}

// A hydrate that was broken off goes on where it was.
func TestResume(t *testing.T) {
	leaks(t)
	h := newHome(t)
	src := t.TempDir()
	testbed.SmallTree(t, src, 200, 10, 100)
	h.upload(src, testbed.Scan(t, src))
	p := h.through()
	ctx, cancel := context.WithCancel(t.Context())
	p.Add(testbed.Fault{When: testbed.Match{Verb: "GET", Regexp: "/hot/d"}, After: 99, Do: testbed.Call(cancel)})
	if _, err := h.tryHydrate(ctx); err == nil {
		t.Fatal("it was not broken off")
	}
	p.ClearFaults()
	p.Forget()
	r := h.hydrate()
	if r.Unchanged == 0 || r.Unchanged+r.Files < 200 || len(r.Conflicts) > 0 {
		t.Errorf("%+v", r)
	}
	testbed.WantTree(t, agents(testbed.Scan(t, src)), testbed.Scan(t, h.path), testbed.Ignore{})
}

// An object that is deleted or overwritten after it was listed is no error.
func TestChangesMeanwhile(t *testing.T) {
	h := newHome(t)
	h.put("gone", "v1")
	h.put("changed", "v1")
	h.put("fine", "v1")
	p := h.through()
	p.Add(testbed.Fault{When: testbed.Match{Verb: "GET", Suffix: "/hot/gone"}, Times: 1, Do: testbed.Call(func() { h.bucket.Delete(h.key("gone")) })})
	p.Add(testbed.Fault{When: testbed.Match{Verb: "GET", Suffix: "/hot/changed"}, Times: 1, Do: testbed.Call(func() { h.put("changed", "version 2") })})
	o := h.open()
	_, err := o.run(t.Context())
	o.close()
	must(t, err)
	h.want("gone", "")
	h.want("changed", "version 2")
	h.want("fine", "v1")
	h.wantJournal("changed", true, false)
}

// A file that appears in the home while hydrate runs (an exec into a sandbox that is
// starting) is not overwritten.
func TestHomeChangesMeanwhile(t *testing.T) {
	h := newHome(t)
	h.put("f", "theirs")
	h.put("dir/g", "theirs")
	p := h.through()
	p.Add(testbed.Fault{When: testbed.Match{Verb: "GET", Suffix: "/hot/f"}, Times: 1, Do: testbed.Call(func() { h.write("f", "typed meanwhile") })})
	p.Add(testbed.Fault{When: testbed.Match{Verb: "GET", Suffix: "/hot/dir/g"}, Times: 1, Do: testbed.Call(func() { h.write("dir/g", "typed meanwhile") })})
	h.hydrate()
	for _, f := range []string{"f", "dir/g"} {
		h.want(f, "theirs")
		h.wantConflict(f, "typed meanwhile")
	}
}
