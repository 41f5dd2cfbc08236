package hostd

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// What a sandbox stores in the embedded S3 is bounded, parts that it never completes and
// copies included; what it removes is room again, and another user has room of their own.
func TestEmbeddedStoreIsBoundedForEachUser(t *testing.T) {
	d := newDir(t)
	one, two := newSandbox(t, d, "one", "u1"), newSandbox(t, d, "two", "u2")
	for _, s := range []datadir.Sandbox{one, two} {
		r, err := s.Load()
		if err != nil {
			t.Fatal(err)
		}
		r.Limits.Store = 16 << 20
		if err := s.Save(r); err != nil {
			t.Fatal(err)
		}
	}
	ensure(t, d) // with the limits: it may serve a sandbox as soon as there is a record
	content := strings.Repeat("x", 5<<20)
	mustAsk(t, one, "PUT", "users/u1/hot/a", content)
	upload := mustAsk(t, one, "POST", "users/u1/hot/big?uploads", "")
	_, id, _ := strings.Cut(upload, "<UploadId>")
	id, _, _ = strings.Cut(id, "</UploadId>")
	mustAsk(t, one, "PUT", "users/u1/hot/big?partNumber=1&uploadId="+id, content)
	mustAsk(t, one, "PUT", "users/u1/hot/b", content)
	refused := func(target, body string) {
		t.Helper()
		code, answer, err := ask(t.Context(), one, "PUT", target, body)
		if err != nil || code != http.StatusBadRequest || !strings.Contains(answer, "EntityTooLarge") || !strings.Contains(answer, "ceiling.store") {
			t.Errorf("PUT %s over the limit: %d %s %v", target, code, answer, err)
		}
	}
	refused("users/u1/hot/c", content)
	refused("users/u1/hot/big?partNumber=2&uploadId="+id, content)
	mustAsk(t, two, "PUT", "users/u2/hot/a", content)
	if code, _, err := ask(t.Context(), one, "DELETE", "users/u1/hot/a", ""); err != nil || code != http.StatusNoContent {
		t.Fatalf("DELETE gives %d, %v", code, err)
	}
	for { // it is refused until the store is measured again
		code, answer, err := ask(t.Context(), one, "PUT", "users/u1/hot/c", content)
		if err != nil || code != http.StatusOK && code != http.StatusBadRequest {
			t.Fatalf("PUT after the deletion: %d %s %v", code, answer, err)
		}
		if code == http.StatusOK {
			return
		}
	}
}

// TestWritesUnderWayAreMeasured: the store has them nowhere where they would be counted.
func TestWritesUnderWayAreMeasured(t *testing.T) {
	q := &quota{bucket: t.TempDir(), prefix: "users/u/", limit: 4 * leastRoom}
	ended, err := q.room(3*leastRoom, "")
	if err != nil {
		t.Fatal(err)
	}
	q.measure()
	if _, err := q.room(2*leastRoom, ""); err == nil {
		t.Error("another has room beside it")
	}
	ended()
	q.measure()
	if _, err := q.room(2*leastRoom, ""); err != nil {
		t.Errorf("once it has failed: %v", err)
	}
}

// Empty objects take inodes: so many of them as fit are all that a user may have.
func TestEmptyObjectsTakeRoom(t *testing.T) {
	q := &quota{bucket: t.TempDir(), prefix: "users/u/", limit: 4 * leastRoom}
	for n := range 4 {
		ended, err := q.room(0, "")
		if err != nil {
			t.Fatalf("object %d: %v", n, err)
		}
		ended()
		path := filepath.Join(q.bucket, "users/u", strconv.Itoa(n))
		if n == 0 {
			path = filepath.Dir(path)
			if err := os.MkdirAll(path, 0o700); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := q.room(0, ""); err == nil {
		t.Error("a fifth has room for four")
	}
}
