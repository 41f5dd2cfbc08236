// Package harness is what the tests in real containers stand on. Each wing has a package of tests beside
// it: pid1 and storage for what runs in the container, run, access and images for the host.
//
//	func TestMain(m *testing.M) { harness.Main(m) }
//
//	o := harness.NewOperator(t)                        // the program sandbox, with a data directory
//	out := o.OK("run", "--user-id", "alice", "--", "true")
//	r := harness.Engine(t, nil, "image", "inspect", x) // the program docker
//
// Where a test is about the host's side alone, the container has fakeinit in the place of sandbox-init:
// it starts in milliseconds and does what a test tells it to. The tests wait for events (a line of
// output, a change of a file, the end of a process), and each wait has a bound.
//
// All that a test makes is gone when it ends: sandboxes, volumes, daemons, images.
package harness
