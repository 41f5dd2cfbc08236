package cold_test

import (
	"os"
	"strings"
	"testing"
)

// TestLongFileOfHoles: truncate(1) makes a file of 100 GiB. It is named, nothing of it is sent, and nothing else
// waits for it; what has fewer holes goes up.
func TestLongFileOfHoles(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy)
	b.bucket.Put(keys+"old", "old", nil)
	b.bucket.Put(keys+"long", random(20<<20), nil)
	b.sh(`ls; truncate -s 100G f; echo begin | dd of=f conv=notrunc status=none; truncate -s 200G long; truncate -s 3M small; echo other > other; rm old`)
	if got := b.sh(`stat -c %s f; head -c 5 f; tail -c 3 f | od -An -tx1; stat -c %s long`); got != "107374182400\nbegin 00 00 00\n214748364800" {
		t.Errorf("it reads %q", got)
	}
	for range 2 { // also of a sandbox that was killed
		left := b.flush()
		if len(left) != 2 || left[0].Path != b.path("f") || left[1].Path != b.path("long") || !strings.Contains(left[0].Reason, "are holes") || !strings.Contains(left[1].Reason, "are holes") {
			t.Errorf("left: %+v", left)
		}
		b.kill()
		b.start()
	}
	b.bucket.Want(keys+"other", "other\n")
	b.bucket.Want(keys+"small", string(make([]byte, 3<<20)))
	b.bucket.WantNone(keys + "old")
	if n := b.proxy.Sent(); n > 4<<20 {
		t.Errorf("%d bytes are sent", n)
	}
	b.sh(`truncate -s 1000 f long; rm small`)
	b.sync()
	b.bucket.Want(keys+"f", "begin\n"+string(make([]byte, 994)))
	b.bucket.Want(keys+"long", random(20 << 20)[:1000])
	if got, err := os.ReadFile(b.path("long")); err != nil || string(got) != random(20 << 20)[:1000] {
		t.Errorf("long has %d bytes: %v", len(got), err)
	}
}
