package objectstore

// Conditional says for which verbs the store honours If-Match and If-None-Match.
type Conditional struct{ Put, Delete, Copy, Complete bool }

// Verbs are the names of those that are honoured, as contract.StoreStatus has them.
func (c Conditional) Verbs() []string {
	v := []string{}
	for _, x := range []struct {
		ok   bool
		name string
	}{{c.Put, "PUT"}, {c.Delete, "DELETE"}, {c.Copy, "COPY"}, {c.Complete, "COMPLETE"}} {
		if x.ok {
			v = append(v, x.name)
		}
	}
	return v
}

// Conditional is what Probe found; before it, what every store should honour.
func (s *Store) Conditional() Conditional { return *s.conditional.Load() }
