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
	// Module is the Go module that has the server's program, with a version, and Package the program's folder in it. Empty: the
	// server comes from elsewhere.
	Module, Package string
	// Degraded are the cases that do not end in Works.
	Degraded map[string]Result
	// Tree is what the hostile tree costs, from the start to the checkpoint.
	Tree  Cost
	Notes string // for the document: what to set, what to know
}

// Cost is what a workload sends.
type Cost struct {
	Requests int64
	Bytes    int64 // of content
}

// resembles says that a measurement is near enough, within a quarter: renewals of the lease and attempts come as
// they come, and a file that was too young to be compared may go up twice.
func (c Cost) resembles(measured Cost) bool {
	near := func(want, got int64) bool { return 4*max(want-got, got-want) <= want }
	return near(c.Requests, measured.Requests) && near(c.Bytes, measured.Bytes)
}

// allServers are those that make stores can start by itself, and "other", which is given.
func allServers() []Server {
	return []Server{
		{Name: "versitygw", Version: "1.8.0, which the host's daemon and `sandbox run` serve homes with", Degraded: map[string]Result{}, Tree: Cost{173, 13_700_467},
			Notes: "Honours conditions on PUT, DELETE and COMPLETE."},
		{Name: "minio", Version: "MinIO of 12 February 2026", Module: "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c", Package: ".",
			Degraded: map[string]Result{}, Tree: Cost{172, 13_700_467},
			Notes: "Honours conditions on PUT and COMPLETE."},
		{Name: "seaweedfs", Version: "SeaweedFS 4.53", Module: "github.com/seaweedfs/seaweedfs@v0.0.0-20261109003541-7506e5f91cd6", Package: "./weed",
			Degraded: map[string]Result{}, Tree: Cost{174, 13_700_467},
			Notes: "Honours all conditions. Runs with -s3.allowBackslashInKey=true here. Keeps no metadata with keys that end in a slash: an empty directory has the mode and the time that the manifest knows, which is written at the end; after a kill it comes back with 0755."},
		{Name: "gofakes3", Version: "1.2.0, in memory", Module: "github.com/johannesboyne/gofakes3@v1.2.0", Package: "./cmd/gofakes3",
			Degraded: map[string]Result{"wrong credentials": unchecked}, Tree: Cost{167, 13_700_467},
			Notes: "For tests only. Honours conditions on PUT alone. Verifies no x-amz-checksum and keeps that of an earlier version; answers a COMPLETE with another ETag than the object's."},
		{Name: "ceph", Version: "Ceph radosgw 16.2 of Debian 12", Degraded: map[string]Result{}, Tree: Cost{188, 13_700_467},
			Notes: "Honours conditions on PUT alone, and compares If-Match without the quotes, which the probe finds out."},
		{Name: "swift", Version: "OpenStack Swift's s3api 2.30 of Debian 12",
			Degraded: map[string]Result{"two sandboxes": noLease, "a killed sandbox is followed": noLease, "a foreign writer": headFirst}, Tree: Cost{304, 13_700_467},
			Notes: "Answers 501 to conditions on PUT, so there is no lease, and a HEAD goes before each write; honours those on DELETE and COMPLETE."},
		{Name: "other", Version: "given by STORE_ENDPOINT", Degraded: map[string]Result{}},
	}
}
