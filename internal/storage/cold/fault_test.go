package cold_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/testbed"
)

// random is content that no server and no disk can compress away.
func random(n int) string { return string(object(int64(n), uint64(n))) }

func object(n int64, seed uint64) []byte {
	b := make([]byte, n)
	x := seed*2654435761 + 1
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return b
}

func readAt(t *testing.T, f *os.File, off int64, n int) ([]byte, error) {
	t.Helper()
	b := make([]byte, n)
	m, err := f.ReadAt(b, off)
	if err == io.EOF {
		err = nil
	}
	return b[:m], err
}

func open(t *testing.T, name string, flags int) *os.File {
	t.Helper()
	f, err := os.OpenFile(name, flags, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestStoreAway(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy, shortPatience, ttl(0))
	b.bucket.Put(keys+"d/cached", "here", nil)
	b.bucket.Put(keys+"d/not", "elsewhere", nil)
	if got := b.sh(`cat d/cached; ls d`); got != "herecached\nnot" {
		t.Fatalf("reads %q", got)
	}
	b.proxy.Away()
	if got := b.sh(`cat d/cached; ls d; stat -c %s d/not; (cat d/not || true) 2>&1 | grep -o 'Input/output error'; (touch d/no/x || true) 2>&1 | grep -o 'No such file'`); got != "herecached\nnot\n9\nInput/output error\nNo such file" {
		t.Errorf("without S3 it reads %q", got)
	}
	b.sh(`mkdir d/new; echo kept > d/new/f; echo more >> d/cached; mv d/not d/renamed; cat d/new/f d/cached > /dev/null`)
	if st := b.status(); st.PendingFiles != 5 || st.PendingBytes != 5+9 {
		t.Errorf("pending: %+v", st)
	}
	b.proxy.Back()
	b.sync()
	b.bucket.Want(keys+"d/new/f", "kept\n")
	b.bucket.Want(keys+"d/cached", "heremore\n")
	b.bucket.Want(keys+"d/renamed", "elsewhere")
	b.bucket.WantNone(keys + "d/not")
	if got := b.sh(`cat d/renamed`); got != "elsewhere" {
		t.Errorf("with S3 again it reads %q", got)
	}
}

// TestStalledBody has a connection that sends nothing any more.
func TestStalledBody(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy, shortPatience)
	body := random(3 << 20)
	b.bucket.Put(keys+"f", body, nil)
	f := open(t, b.path("f"), os.O_RDONLY)
	stall := b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "GET", Suffix: "/f"}, Do: testbed.StallResponse(100_000)})
	if _, err := readAt(t, f, 2<<20, 10); !errors.Is(err, syscall.EIO) {
		t.Errorf("what does not come: %v", err)
	}
	stall.Remove()
	if got, err := readAt(t, f, 2<<20, 10); err != nil || string(got) != body[2<<20:2<<20+10] {
		t.Errorf("afterwards: %q, %v", got, err)
	}
}

func TestChangedObject(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	one, two := random(4<<20), random(4<<20+1)
	b.bucket.Put(keys+"f", one, nil)
	f := open(t, b.path("f"), os.O_RDONLY)
	first, err := readAt(t, f, 0, 4096)
	if err != nil || string(first) != one[:4096] {
		t.Fatal(err)
	}
	b.bucket.Put(keys+"f", two, nil)
	if got, err := readAt(t, f, 3<<20, 4096); !errors.Is(err, syscall.ESTALE) {
		t.Errorf("the rest of the old version: %d bytes, %v", len(got), err)
	}
	if got, err := readAt(t, f, 0, 4096); err != nil || string(got) != one[:4096] {
		t.Errorf("what was read of the old version is not there any more: %v", err)
	}
	if got, err := os.ReadFile(b.path("f")); err != nil || string(got) != two {
		t.Errorf("opened again: %d bytes, %v", len(got), err)
	}
	b.bucket.Delete(keys + "f")
	g := open(t, b.path("f"), os.O_RDONLY)
	if got, err := readAt(t, g, 0, len(two)); err != nil || string(got) != two {
		t.Errorf("a deleted object that is cached: %d bytes, %v", len(got), err)
	}
}

func TestOthersAppearAndGo(t *testing.T) {
	t.Parallel()
	b := newBed(t, ttl(0))
	if got := b.sh(`ls`); got != "" {
		t.Errorf("lists %q", got)
	}
	b.bucket.Put(keys+"a", "1", map[string]string{"file-permissions": "0100750", "file-mtime": "1000000000123456789ns"})
	b.bucket.Put(keys+"d/e/f", "2", nil)
	b.bucket.Put(keys+"link", "d/e/f", map[string]string{"file-permissions": "0120777"})
	if got := b.sh(`cat a d/e/f; cat link; readlink link; stat -c '%a %.9Y' a`); got != "122d/e/f\n750 1000000000.123456789" {
		t.Errorf("reads %q", got)
	}
	b.bucket.Put(keys+"a", "new", nil)
	b.bucket.Delete(keys + "d/e/f")
	if got := b.sh(`cat a; ls; cat d/e/f 2>&1 || true`); !strings.HasPrefix(got, "newa\nlink\n") || !strings.Contains(got, "No such file") {
		t.Errorf("reads %q", got)
	}
}

// TestListingsAreKept counts what S3 is asked for within the time to live.
func TestListingsAreKept(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy)
	for i := range 30 {
		b.bucket.Put(fmt.Sprintf("%sd/%02d", keys, i), "x", nil)
	}
	b.sh(`ls -l d > /dev/null`)
	b.proxy.Forget()
	b.sh(`ls -l d > /dev/null; stat d/05 > /dev/null; test ! -e d/no; test ! -e d/no/no; touch d/mine; test -e d/mine; find . > /dev/null`)
	if n := b.proxy.Count("LIST") + b.proxy.Count("HEAD"); n != 0 {
		t.Errorf("%d requests for what is known", n)
	}
}

func TestConflicts(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy)
	for _, k := range []string{"changed", "deleted", "removed", "chmodded"} {
		b.bucket.Put(keys+k, "old", nil)
	}
	b.sh(`cat changed deleted removed > /dev/null`)
	gate := testbed.Hold()
	b.proxy.Add(testbed.Fault{Do: gate})
	b.sh(`echo ours > changed; echo ours > deleted; echo ours > created; rm removed; chmod 600 chmodded`)
	b.bucket.Put(keys+"changed", "theirs", nil)
	b.bucket.Delete(keys + "deleted")
	b.bucket.Put(keys+"created", "theirs", nil)
	b.bucket.Put(keys+"removed", "theirs", nil)
	b.bucket.Put(keys+"chmodded", "theirs", nil)
	gate.Open()
	b.sync()
	b.bucket.Want(keys+"changed", "theirs")
	b.bucket.Want(keys+"created", "theirs")
	b.bucket.Want(keys+"removed", "theirs")
	b.bucket.Want(keys+"chmodded", "theirs")
	b.bucket.Want(keys+"deleted", "ours\n") // a change outlives a deletion
	if got := b.sh(`cat changed created removed chmodded; cat changed.conflict-sb-* created.conflict-sb-*; ls | wc -l`); got != "theirstheirstheirstheirsours\nours\n7" {
		t.Errorf("reads %q", got)
	}
	for _, k := range b.bucket.Keys(keys) {
		if strings.Contains(k, ".conflict-sb-") {
			b.bucket.Want(k, "ours\n")
		}
	}
}

// TestLostAnswers has writes arrive whose answers do not, and the process die before it can ask.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy)
	b.bucket.Put(keys+"changed", "old", nil)
	b.bucket.Put(keys+"removed", "old", nil)
	b.bucket.Put(keys+"renamed", "old", nil)
	b.sh(`cat changed removed renamed`)
	for _, verb := range []string{"PUT", "DELETE", "COPY"} {
		b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: verb, Regexp: "/cold/"}, Times: 20, Do: testbed.LoseAnswer()})
	}
	b.sh(`echo new > created; echo more >> changed; rm removed; mv renamed moved; mkdir dir; ln -s x link`)
	arrived, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	b.proxy.WaitFor(arrived, testbed.Match{Verb: "PUT", Suffix: "created"}, 1)
	b.kill()
	b.proxy.ClearFaults()
	b.start()
	b.sync()
	if got := b.bucket.Keys(keys); !slices.Equal(got, []string{keys + "changed", keys + "created", keys + "dir/", keys + "link", keys + "moved"}) {
		t.Errorf("in S3 are %q", got)
	}
	b.bucket.Want(keys+"changed", "oldmore\n")
}

// TestStoreWithoutConditions works with a HEAD before each write.
func TestStoreWithoutConditions(t *testing.T) {
	t.Parallel()
	b := newBed(t, func(b *bed) {
		throughProxy(b)
		b.proxy.Add(testbed.Fault{Do: testbed.StripConditions()})
	})
	b.bucket.Put(keys+"f", "old", nil)
	b.sh(`cat f; echo new > f; echo x > g; mv g h; rm h; mkdir d; mv f d/f`)
	b.sync()
	if got := b.bucket.Keys(keys); !slices.Equal(got, []string{keys + "d/", keys + "d/f"}) {
		t.Errorf("in S3 are %q", got)
	}
	b.bucket.Want(keys+"d/f", "new\n")
}

// TestFullCache: a writer that S3's absence leaves without room is told so, and nothing that was
// acknowledged is lost.
func TestFullCache(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy, cacheMax(4<<20), shortPatience)
	b.bucket.Put(keys+"old", random(1<<20), nil)
	b.sh(`cat old > /dev/null`)
	b.proxy.Away()
	kept := map[string]string{}
	full := false
	for i := range 20 {
		name, body := fmt.Sprint("f", i), random(500_000+i)
		err := os.WriteFile(b.path(name), []byte(body), 0o644)
		if errors.Is(err, syscall.ENOSPC) {
			full = true
			os.Remove(b.path(name))
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		kept[name] = body
	}
	if !full || len(kept) < 5 {
		t.Fatalf("%d files of 500,000 bytes fit into 4 MiB", len(kept))
	}
	if st := b.status(); st.CacheBytes > st.CacheMax {
		t.Errorf("%+v", st)
	}
	b.sh(`rm f0; mkdir room; mv f1 room/f1`) // needs no room
	delete(kept, "f0")
	kept["room/f1"] = kept["f1"]
	delete(kept, "f1")
	b.proxy.Back()
	b.sync()
	for name, body := range kept {
		b.bucket.Want(keys+name, body)
		if got, err := os.ReadFile(b.path(name)); err != nil || string(got) != body {
			t.Errorf("%s has %d bytes: %v", name, len(got), err)
		}
	}
	b.bucket.WantNone(keys + "f0")
}

// TestMoreThanTheCache copies in and reads back more than the cache holds.
func TestMoreThanTheCache(t *testing.T) {
	t.Parallel()
	b := newBed(t, cacheMax(8<<20))
	big := random(50 << 20)
	b.bucket.Put(keys+"big", big, nil)
	b.sh(`mkdir d; for i in $(seq 30); do head -c 1500000 /dev/zero | tr '\0' $(printf \\$(printf %o $((64 + i)))) > d/$i; done; cat d/* | wc -c`)
	if got, err := os.ReadFile(b.path("big")); err != nil || string(got) != big {
		t.Errorf("a file larger than the cache: %d bytes, %v", len(got), err)
	}
	if st := b.status(); st.CacheBytes > st.CacheMax {
		t.Errorf("%+v", st)
	}
	f, err := os.Create(b.path("toobig"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte(big)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a file larger than the cache was written: %v", err)
	}
	f.Close()
	os.Remove(b.path("toobig"))
	b.sync()
	for i := 1; i <= 30; i++ {
		b.bucket.Want(fmt.Sprintf("%sd/%d", keys, i), strings.Repeat(string(rune(64+i)), 1_500_000))
	}
}

// TestReadsWhileTheCacheIsFullOfDirtyData go past it.
func TestReadsWhileTheCacheIsFullOfDirtyData(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy, cacheMax(2<<20), shortPatience)
	body := random(1 << 20)
	b.bucket.Put(keys+"f", body, nil)
	b.sh(`ls`)
	gate := testbed.Hold()
	b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT"}, Do: gate})
	for i := 0; ; i++ {
		err := os.WriteFile(b.path(fmt.Sprint("w", i)), make([]byte, 300_000), 0o644)
		if errors.Is(err, syscall.ENOSPC) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(b.path("f")); err != nil || string(got) != body {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	gate.Open()
}

// TestServerDies: what was open fails at once, and what was written is there again.
func TestServerDies(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy)
	gate := testbed.Hold()
	b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT"}, Do: gate})
	f := open(t, b.path("f"), os.O_RDWR|os.O_CREATE)
	body := random(700_000)
	if _, err := f.WriteString(body); err != nil {
		t.Fatal(err)
	}
	b.cmd.Process.Kill()
	<-b.ended
	if _, err := f.WriteString("x"); !errors.Is(err, syscall.ENOTCONN) && !errors.Is(err, syscall.ECONNABORTED) {
		t.Errorf("a write after its end: %v", err)
	}
	if _, err := os.Stat(b.path("f")); !errors.Is(err, syscall.ENOTCONN) {
		t.Errorf("a look-up after its end: %v", err)
	}
	gate.Open()
	b.detach()
	b.start()
	if got, err := os.ReadFile(b.path("f")); err != nil || string(got) != body {
		t.Errorf("%d bytes after it was killed, %v", len(got), err)
	}
	b.sync()
	b.bucket.Want(keys+"f", body)
}

func verbs(rs []testbed.Request) (all []string) {
	for _, r := range rs {
		if strings.Contains(r.Key, "/cold/") && r.Verb != "LIST" && r.Verb != "GET" && r.Verb != "HEAD" {
			all = append(all, r.Verb+" "+r.Key[strings.Index(r.Key, "/cold/")+6:])
		}
	}
	return all
}

// TestDeletionsWait: what was changed before is in S3 first.
func TestDeletionsWait(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy)
	b.bucket.Put(keys+"loose", "old", nil)
	b.sh(`cat loose`)
	gate := testbed.Hold()
	b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT"}, Do: gate})
	b.sh(`echo new > packed; rm loose`)
	if !gate.WaitArrived(t.Context(), 1) {
		t.Fatal("nothing is uploaded")
	}
	if got := verbs(b.proxy.Requests()); !slices.Equal(got, []string{"PUT packed"}) {
		t.Errorf("sent so far: %q", got)
	}
	gate.Open()
	b.sync()
	if got := verbs(b.proxy.Requests()); !slices.Equal(got, []string{"PUT packed", "DELETE loose"}) {
		t.Errorf("sent: %q", got)
	}
}

// TestDeletionsWaitForRenamedFile: a file keeps its place in the order when it is renamed.
func TestDeletionsWaitForRenamedFile(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy)
	b.bucket.Put(keys+"loose", "old", nil)
	b.sh(`cat loose`)
	gate := testbed.Hold()
	b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT"}, Do: gate})
	b.sh(`echo new > tmp; rm loose; mv tmp packed`)
	if !gate.WaitArrived(t.Context(), 1) {
		t.Fatal("nothing is uploaded")
	}
	for _, v := range verbs(b.proxy.Requests()) {
		if strings.HasPrefix(v, "DELETE") {
			t.Errorf("sent before the content is there: %q", v)
		}
	}
	gate.Open()
	b.sync()
	b.bucket.Want(keys+"packed", "new\n")
	b.bucket.WantNone(keys + "loose")
}

// TestUploadKeepsTimes: that a file reaches S3 is no change of it, whichever way it goes there. tar exits with 1
// where the ctime of what it reads moves.
func TestUploadKeepsTimes(t *testing.T) {
	t.Parallel()
	b := newBed(t, quiet(time.Hour), ttl(0), func(b *bed) { b.conf.PartSize = 5 << 20 })
	b.bucket.Put(keys+"long", random(20<<20), nil)
	b.bucket.Put(keys+"old", "old", nil)
	b.sh(`echo content > small; head -c 12000000 /dev/zero > parts; echo line >> long; mv old renamed; mkdir d; ln -s small link; chmod 600 small`)
	const times = `stat -c '%n %y %z' small parts long renamed link`
	before := b.sh(times)
	b.sh(`sleep 1.1`) // S3's times are whole seconds
	b.sync()
	if after := b.sh(times); after != before {
		t.Errorf("%s\nbecame\n%s", before, after)
	}
}

// TestDeniedFile is named, and holds nothing else back.
func TestDeniedFile(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy)
	b.bucket.Put(keys+"old", "x", nil)
	b.sh(`ls`)
	b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Suffix: "denied"}, Do: testbed.Refuse(403, "AccessDenied")})
	b.sh(`echo no > denied; echo yes > allowed; rm old`)
	left := b.flush()
	if len(left) != 1 || left[0].Path != b.path("denied") || !strings.Contains(left[0].Reason, "access denied") {
		t.Errorf("left: %+v", left)
	}
	b.bucket.Want(keys+"allowed", "yes\n")
	b.bucket.WantNone(keys + "old")
	st := b.status()
	if len(st.Failed) != 1 || st.PendingFiles != 1 || st.PendingBytes != 3 {
		t.Errorf("%+v", st)
	}
	b.proxy.ClearFaults()
	b.sync()
	b.bucket.Want(keys+"denied", "no\n")
}

// TestFlushSaysWhatIsMissing when its time is up.
func TestFlushSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy)
	b.sh(`ls`)
	gate := testbed.Hold()
	b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT"}, Do: gate})
	b.sh(`echo a > a; mkdir d; echo b > d/b`)
	var left []contract.Unsaved
	if err := b.do("POST", "/flush?for=300ms", nil, &left); err != nil {
		t.Fatal(err)
	}
	if len(left) != 3 || left[0].Path != b.path("a") || left[2].Path != b.path("d/b") {
		t.Errorf("left: %+v", left)
	}
	gate.Open()
	b.sync()
}

func TestSwappedNames(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy)
	one, two := random(300_000), random(300_001)
	b.bucket.Put(keys+"a", one, nil)
	b.bucket.Put(keys+"b", two, nil)
	b.bucket.Put(keys+"d/x", "x", nil)
	b.bucket.Put(keys+"e/x", "y", nil)
	b.bucket.Put(keys+"into", "file", nil)
	b.sh(`mv a t; mv b a; mv t b; mv d t; mv e d; mv t e; mv into tmp; mkdir into; mv tmp into/f; mv e/x e2; rmdir e; mv e2 e`)
	b.sync()
	b.bucket.Want(keys+"a", two)
	b.bucket.Want(keys+"b", one)
	b.bucket.Want(keys+"d/x", "y")
	b.bucket.Want(keys+"e", "x")
	b.bucket.Want(keys+"into/f", "file")
	b.stop()
	b.forget()
	b.start()
	if got := b.sh(`cat d/x e into/f; cmp -s a b || echo differ; find . | sort | tr '\n' ' '`); got != "yxfilediffer\n. ./a ./b ./d ./d/x ./e ./into ./into/f " {
		t.Errorf("reads %q", got)
	}
}

// TestRenamesCopy: content that S3 has does not travel again.
func TestRenamesCopy(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy)
	for i := range 20 {
		b.bucket.Put(fmt.Sprintf("%sdir/sub/%02d", keys, i), "content", map[string]string{"file-permissions": "0100600", "color": "blue"})
	}
	b.sh(`mv dir moved; chmod 640 moved/sub/03`) // before it is copied
	b.sync()
	copies, others := 0, 0
	for _, v := range verbs(b.proxy.Requests()) {
		if strings.HasPrefix(v, "COPY") {
			copies++
		} else if !strings.HasPrefix(v, "DELETE") && v != "PUT moved/" {
			others++
		}
	}
	if copies < 20 || copies > 21 || others != 0 { // 21: the mode was changed while it was copied
		t.Errorf("%d copies, %d others; all: %q", copies, others, slices.Sorted(slices.Values(verbs(b.proxy.Requests()))))
	}
	for k, o := range b.bucket.Objects(keys + "moved/sub/") {
		want := "0100600"
		if strings.HasSuffix(k, "03") {
			want = "0100640"
		}
		if string(o.Body) != "content" || o.Metadata["file-permissions"] != want || o.Metadata["color"] != "blue" {
			t.Errorf("%s: %q, %v", k, o.Body, o.Metadata)
		}
	}
	if left := b.bucket.Keys(keys + "dir/"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestRemovedButOpen: who has a file open reads it to its end.
func TestRemovedButOpen(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy)
	body := random(20 << 20)
	b.bucket.Put(keys+"removed", body, nil)
	b.bucket.Put(keys+"replaced", body, nil)
	f, g := open(t, b.path("removed"), os.O_RDONLY), open(t, b.path("replaced"), os.O_RDWR)
	gate := testbed.Hold()
	b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "GET"}, Do: gate})
	b.sh(`rm removed; echo new > n; mv n replaced; echo last > last`)
	b.flushing(func() { b.proxy.WaitFor(t.Context(), testbed.Match{Verb: "PUT", Suffix: "/last"}, 1) })
	for _, v := range verbs(b.proxy.Requests()) {
		if strings.HasSuffix(v, "removed") || strings.HasSuffix(v, "replaced") {
			t.Errorf("the objects' content is not here yet, and this was sent: %q", v)
		}
	}
	gate.Open()
	for _, h := range []*os.File{f, g} {
		got, err := io.ReadAll(h)
		if err != nil || string(got) != body {
			t.Errorf("%s: %d bytes, %v", h.Name(), len(got), err)
		}
	}
	if _, err := g.WriteAt([]byte("X"), 5); err != nil {
		t.Error(err)
	}
	b.sync()
	b.bucket.WantNone(keys + "removed")
	b.bucket.Want(keys+"replaced", "new\n")
	if got, err := readAt(t, g, 4, 3); err != nil || !bytes.Equal(got, []byte{body[4], 'X', body[6]}) {
		t.Errorf("%q, %v", got, err)
	}
}

// TestAppendToLargeObject needs its last block to go on, and all of it to go up.
func TestAppendToLargeObject(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	body := random(30<<20 + 5)
	b.bucket.Put(keys+"f", body, nil)
	b.sh(`echo tail >> f; printf X | dd of=f bs=1 seek=1000000 conv=notrunc status=none`)
	want := body[:1_000_000] + "X" + body[1_000_001:] + "tail\n"
	if got, err := os.ReadFile(b.path("f")); err != nil || string(got) != want {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	b.sync()
	b.bucket.Want(keys+"f", want)
}

// TestAppendWhileAway: close says what it could not do, and nothing is torn.
func TestAppendWhileAway(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy, shortPatience)
	body := random(3 << 20)
	b.bucket.Put(keys+"f", body, nil)
	f, err := os.OpenFile(b.path("f"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	b.proxy.Away()
	if _, err := f.WriteAt([]byte("end"), int64(len(body))); err != nil {
		t.Fatalf("a write that needs nothing of what is there: %v", err)
	}
	if err := f.Close(); !errors.Is(err, syscall.EIO) {
		t.Errorf("close: %v", err)
	}
	b.proxy.Back()
	b.sync()
	b.bucket.Want(keys+"f", body+"end")
}

// TestOpenFileGoesUp: a file that is never closed reaches S3 whole while it is written to.
func TestOpenFileGoesUp(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy)
	f := open(t, b.path("log"), os.O_RDWR|os.O_CREATE)
	line := strings.Repeat("a", 1<<20)
	f.WriteString(line)
	gate := testbed.Hold()
	b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT"}, Times: 1, Do: gate})
	synced := make(chan error, 1)
	go func() { synced <- b.do("POST", contract.ControlColdSyncPath, nil, nil) }()
	if !gate.WaitArrived(t.Context(), 1) {
		t.Fatal("it does not go up")
	}
	f.WriteAt([]byte(strings.Repeat("b", 1<<20)), 0)
	gate.Open()
	if err := <-synced; err != nil {
		t.Fatal(err)
	}
	if o, ok := b.bucket.Get(keys + "log"); !ok || strings.Trim(string(o.Body), "a") != "" && strings.Trim(string(o.Body), "b") != "" {
		t.Errorf("S3 has a mix of two versions: %v", ok)
	}
	b.sync()
	b.bucket.Want(keys+"log", strings.Repeat("b", 1<<20))
}

// TestFsync: what was synced is in the journal as such.
func TestFsync(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy)
	b.sh(`ls`)
	b.proxy.Away()
	f := open(t, b.path("f"), os.O_RDWR|os.O_CREATE)
	f.WriteString("synced")
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	b.kill()
	b.proxy.Back()
	b.start()
	b.sync()
	b.bucket.Want(keys+"f", "synced")
}
