package gateway

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"sync"

	"github.com/matrx/sandbox/contract"
)

// maxLease bounds what is kept of a lease's body; one has some 200 bytes.
const maxLease = 4 << 10

// leaseBody keeps the body of a lease while it passes. The transport may read it to
// its end after the answer has come, hence the lock.
type leaseBody struct {
	io.ReadCloser
	mu   sync.Mutex
	kept bytes.Buffer
}

func (b *leaseBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	if room := maxLease - b.kept.Len(); room > 0 {
		b.kept.Write(p[:min(n, room)])
	}
	return n, err
}

func (b *leaseBody) holder() (contract.LeaseHolder, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var h contract.LeaseHolder
	err := json.Unmarshal(b.kept.Bytes(), &h)
	return h, err == nil && h.Instance != ""
}

// watchLease puts itself before the body when it is the lease that is written.
func (g *Gateway) watchLease(q request, r *http.Request) *leaseBody {
	if g.lease == nil || q.name != "PutObject" || q.source != "" || q.key != g.scope.Prefix+contract.LeaseName {
		return nil
	}
	b := &leaseBody{ReadCloser: r.Body}
	r.Body = b
	return b
}

// answered hides what the store says to the host alone, and reads the record once the store has taken it: one that was refused (412)
// says nothing about who holds the lease.
func (g *Gateway) answered(res *http.Response) error {
	a := res.Request.Context().Value(admittedKey{}).(*admitted)
	if err := g.hideError(res, a.request); err != nil {
		return err
	}
	res.Header.Del(contract.HostStoreHeader) // the host's to say, not the store's
	if g.tells != "" {
		res.Header.Set(contract.HostStoreHeader, g.tells)
	}
	if a.lease == nil || res.StatusCode != http.StatusOK {
		return nil
	}
	if h, ok := a.lease.holder(); ok {
		g.lease(h)
	}
	return nil
}
