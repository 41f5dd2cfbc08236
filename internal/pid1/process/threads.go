package process

import (
	"runtime"
	"sync"
)

// Threads makes the runtime create n threads now and keep them for later.
//
// The runtime never ends an idle thread, and takes an idle one before it makes
// another. It needs one more than it has when a goroutine enters a system call that
// lasts while others want to run, so that as many as may block at once, and one for
// each processor, is all that it ever needs. Being refused one is fatal (newosproc
// in the runtime), and a container that has used up its process limit refuses.
func Threads(n int) {
	// Two processors are plenty for an init, and each one more could mean a thread more.
	if runtime.GOMAXPROCS(0) > 2 {
		runtime.GOMAXPROCS(2)
	}
	var ready, done sync.WaitGroup
	release := make(chan struct{})
	ready.Add(n)
	done.Add(n)
	for range n {
		go func() {
			defer done.Done()
			// A locked goroutine keeps its thread while it waits, so that
			// n of them need n threads whatever the scheduler does.
			runtime.LockOSThread()
			ready.Done()
			<-release
			runtime.UnlockOSThread()
		}()
	}
	ready.Wait()
	close(release)
	done.Wait()
}
