package cold_test

import (
	"testing"
)

// TestRenamedFileStaysCached, before its object is copied and after, and whether S3 answers or not.
func TestRenamedFileStaysCached(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy)
	const uncached = `dd if=e/g iflag=direct bs=4096 status=none` // past the kernel's own cache
	b.bucket.Put(keys+"d/f", "content", nil)
	b.sh(`cat d/f; ls`)
	b.proxy.Forget()
	if got := b.sh(`mv d e; mv e/f e/g; ` + uncached + `; chmod 600 e/g; ` + uncached); got != "contentcontent" {
		t.Errorf("reads %q", got)
	}
	b.sync()
	b.bucket.Want(keys+"e/g", "content")
	b.proxy.Away()
	if got := b.sh(uncached); got != "content" {
		t.Errorf("without S3 it reads %q", got)
	}
	if n := b.proxy.Count("GET"); n > 0 {
		t.Errorf("%d GETs of what is cached", n)
	}
}
