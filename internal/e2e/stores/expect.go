package stores

// Result is how a case ends on a server.
type Result string

const (
	works Result = "works"
	// noLease: the store cannot keep a second sandbox of the same user out.
	noLease Result = "no lease"
	// headFirst: another's write between a look and ours would be overwritten.
	headFirst Result = "looks first"
	// Unchecked: the server looks at no credentials.
	unchecked Result = "not checked"
)

// Server is a server of the matrix and what is expected of it.
type Server struct {
	Name    string
	Version string
	// Degraded are the cases that do not end in Works.
	Degraded map[string]Result
	Notes    string // for the document: what to set, what to know
}

// allServers are those that make stores can start by itself, and "other", which is given.
func allServers() []Server {
	return []Server{
		{Name: "gofakes3", Version: "1.2.0, in memory", Degraded: map[string]Result{"wrong credentials": unchecked},
			Notes: "For tests only. Honours conditions on PUT alone. Verifies no x-amz-checksum and keeps that of an earlier version; answers a COMPLETE with another ETag than the object's."},
		{Name: "ceph", Version: "Ceph radosgw 16.2 of Debian 12", Degraded: map[string]Result{},
			Notes: "Honours conditions on PUT alone, and compares If-Match without the quotes, which the probe finds out."},
		{Name: "other", Version: "given by STORE_ENDPOINT", Degraded: map[string]Result{}},
	}
}
