package cold_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/testbed"
)

// TestBytesSentFollowBytesChanged of a large file.
func TestBytesSentFollowBytesChanged(t *testing.T) {
	const size = 40 << 20
	for name, c := range map[string]struct {
		script string
		want   func(old string) string
		sent   int64 // at most
		got    int   // GETs of content at most
	}{
		"a line is appended": {`echo line >> f`, func(old string) string { return old + "line\n" }, 64 << 10, 1},
		"a byte is changed in the middle": {`printf X | dd of=f bs=1 seek=20000000 conv=notrunc status=none`,
			func(old string) string { return old[:20_000_000] + "X" + old[20_000_001:] }, 6 << 20, 60},
		"its mode is changed": {`chmod 600 f`, func(old string) string { return old }, 64 << 10, 0},
		"it is cut off":       {`truncate -s 30000000 f`, func(old string) string { return old[:30_000_000] }, 64 << 10, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, throughProxy)
			old := random(size)
			b.bucket.Put(keys+"f", old, nil)
			b.sh(`ls -l`)
			b.proxy.Forget()
			b.sh(c.script)
			b.sync()
			if n := b.proxy.Sent(); n > c.sent {
				t.Errorf("%d bytes are sent", n)
			}
			if n := b.proxy.Count("GET"); n > c.got {
				t.Errorf("%d GETs", n)
			}
			b.bucket.Want(keys+"f", c.want(old))
			if got, err := os.ReadFile(b.path("f")); err != nil || string(got) != c.want(old) {
				t.Errorf("reads %d bytes: %v", len(got), err)
			}
			b.stop()
			b.forget()
			b.start()
			if got, err := os.ReadFile(b.path("f")); err != nil || string(got) != c.want(old) {
				t.Errorf("another sandbox reads %d bytes: %v", len(got), err)
			}
		})
	}
}

// TestAppendsAreStoredOneByOne sends what each of them adds, also while the file is kept open.
func TestAppendsAreStoredOneByOne(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy)
	old := random(20 << 20)
	f := open(t, b.path("f"), os.O_RDWR|os.O_CREATE|os.O_APPEND)
	if _, err := f.WriteString(old); err != nil {
		t.Fatal(err)
	}
	b.sync()
	b.proxy.Forget()
	want := old
	for i := range 10 {
		line := fmt.Sprintln("line", i)
		if _, err := f.WriteString(line); err != nil {
			t.Fatal(err)
		}
		want += line
		b.sync()
		b.bucket.Want(keys+"f", want)
	}
	if n := b.proxy.Sent(); n > 64<<10 {
		t.Errorf("%d bytes are sent", n)
	}
}

// TestStoreThatCopiesNoParts gets all of a changed file.
func TestStoreThatCopiesNoParts(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy)
	old := random(20 << 20)
	b.bucket.Put(keys+"f", old, nil)
	b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PARTCOPY"}, Do: testbed.Refuse(501, "NotImplemented")})
	b.sh(`echo line >> f`)
	b.sync()
	b.bucket.Want(keys+"f", old+"line\n")
	if u := b.bucket.Uploads(); len(u) > 0 {
		t.Errorf("uploads are left behind: %v", u)
	}
}

// TestObjectTooLargeForOneCopy is renamed and gets another mode all the same: in parts, or by sending all of it where
// the store copies none.
func TestObjectTooLargeForOneCopy(t *testing.T) {
	const size = 20 << 20
	body := random(size)
	for name, tt := range map[string]struct {
		refused bool
		sent    int64
	}{
		"in parts":            {false, 1 << 20},
		"no parts are copied": {true, 2*size + 1<<20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, throughProxy, func(b *bed) { b.conf.MaxCopy = 16 << 20 })
			b.bucket.Put(keys+"f", body, nil)
			b.bucket.Put(keys+"moved", body, nil)
			b.bucket.Put(keys+"removed", "later", nil)
			if tt.refused {
				b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PARTCOPY"}, Do: testbed.Refuse(501, "NotImplemented")})
			}
			b.proxy.Forget()
			b.sh(`chmod 700 f; mv moved g; rm removed`)
			b.sync()
			b.bucket.Want(keys+"f", body)
			b.bucket.Want(keys+"g", body)
			b.bucket.WantNone(keys + "moved")
			b.bucket.WantNone(keys + "removed")
			if mode := b.bucket.Objects(keys)[keys+"f"].Metadata["file-permissions"]; mode != "0100700" {
				t.Errorf("the mode in S3 is %q", mode)
			}
			if n := b.proxy.Sent(); n > tt.sent {
				t.Errorf("%d bytes are sent", n)
			}
			if n := b.proxy.Count("COPY"); n > 0 {
				t.Errorf("%d requests copy it whole", n)
			}
		})
	}
}

// TestUploadOfRemovedFileIsBrokenOff, and that of a renamed one is not sent again.
func TestUploadOfRemovedFileIsBrokenOff(t *testing.T) {
	const size = 40 << 20
	for name, c := range map[string]struct {
		script string
		sent   int64
		want   string
	}{
		"removed":  {`rm f`, 20 << 20, ""},
		"replaced": {`echo new > g; mv g f`, 20 << 20, "f"},
		"renamed":  {`mv f g`, size + 1<<20, "g"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, throughProxy, func(b *bed) { b.conf.PartSize, b.conf.Parts = 5<<20, 2 })
			b.sh(`ls`)
			gate := testbed.Hold()
			held := b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PART", Suffix: "/f"}, After: 1, Do: gate})
			body := random(size)
			// By the control socket a file comes whole: none of it goes up before the rest is there.
			if err := b.do("PUT", contract.ControlColdFilePath+"?path=f&wait=0", strings.NewReader(body), nil); err != nil {
				t.Fatal(err)
			}
			if !gate.WaitArrived(t.Context(), 2) {
				t.Fatal("it does not go up")
			}
			b.sh(c.script)
			held.Remove()
			gate.Open()
			b.sync()
			if n := b.proxy.Sent(); n > c.sent {
				t.Errorf("%d bytes are sent", n)
			}
			switch c.want {
			case "f":
				b.bucket.Want(keys+"f", "new\n")
			case "g":
				b.bucket.Want(keys+"g", body)
				b.bucket.WantNone(keys + "f")
				b.proxy.Forget()
				if got, err := os.ReadFile(b.path("g")); err != nil || string(got) != body {
					t.Errorf("reads %d bytes: %v", len(got), err)
				}
				if n := b.proxy.Count("GET"); n > 0 {
					t.Errorf("%d GETs of what is cached", n)
				}
			default:
				b.bucket.WantNone(keys + "f")
			}
			for end := time.Now().Add(30 * time.Second); len(b.bucket.Uploads()) > 0; {
				if time.Now().After(end) {
					t.Fatalf("uploads are left behind: %v", b.bucket.Uploads())
				}
				time.Sleep(10 * time.Millisecond) // nothing tells of an abort in the background
			}
		})
	}
}
