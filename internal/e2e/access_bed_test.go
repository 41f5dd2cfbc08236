package e2e

import "github.com/matrx/sandbox/internal/host/sandbox/datadir"

// record is what the operator's data directory knows of a sandbox.
func (o *operator) record(id string) datadir.Record {
	o.t.Helper()
	r, err := o.sandboxDir(id).Load()
	if err != nil {
		o.t.Fatal(err)
	}
	return r
}
