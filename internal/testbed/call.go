package testbed

// Call runs f when a request comes, before the request goes on: what a test wants to
// happen just then.
func Call(f func()) Action { return action(func(*exchange) { f() }) }
