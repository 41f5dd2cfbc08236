package cold_test

import "testing"

// TestSharedIndexTellsNoOlderAttributes: a sandbox that is lost with its disk leaves no index that has attributes of
// an object's version before the last, which had the same content and was written in the same second.
func TestSharedIndexTellsNoOlderAttributes(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	share := func() {
		if err := b.do("POST", "/index", nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	b.sh(`echo old > old; echo text > f; chmod 640 f`)
	b.sync()
	share()
	b.sh(`chmod 700 f`)
	b.sync()
	b.kill()
	b.forget()
	b.start()
	if got := b.sh(`stat -c %a f`); got == "640" {
		t.Errorf("the next sandbox takes mode %s for the file's", got)
	}
	b.sh(`echo more >> f`)
	b.sync()
	if got := b.bucket.Objects(keys)[keys+"f"].Metadata["file-permissions"]; got != "0100700" {
		t.Errorf("it stores mode %s", got)
	}
}
