package manifest

import (
	"github.com/matrx/sandbox/internal/storage/lease"
	"github.com/matrx/sandbox/internal/storage/objectstore"
)

// dateSlack is how many seconds the Date of an answer may be behind the Last-Modified that the request gave.
const dateSlack = 2

// uploadOf is the seal that an upload of a manifest may get, zero when it is not the one that is known to have arrived.
func uploadOf(o objectstore.Object) lease.Seal {
	if o.ETag == "" || o.Date.IsZero() || o.Ambiguous {
		return lease.Seal{}
	}
	return lease.Seal{Manifest: o.ETag, Until: o.Date.Unix() + dateSlack}
}

// isSealed says that a manifest is the very upload that a seal names.
func isSealed(o objectstore.Object, seal lease.Seal) bool {
	return seal.Manifest != "" && o.ETag == seal.Manifest && !o.LastModified.IsZero() && o.LastModified.Unix() <= seal.Until
}

// Seal names the upload of the manifest that was published last. It is zero when this sandbox wrote to the home's
// prefix since its entries began to be collected, or may have: when the journal has changed since, and when no answer came
// to a write of a path that is in it. Nothing may be under way any more.
func (p *Publisher) Seal() lease.Seal {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current == nil || p.stale() > 0 {
		return lease.Seal{}
	}
	for path := range p.o.Journal.AllUnresolved() {
		if _, left := p.unresolved[path]; !left {
			return lease.Seal{}
		}
	}
	return p.upload
}
