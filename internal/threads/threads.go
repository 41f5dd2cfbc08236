// Package threads lets a Go program live where no more threads can be made.
//
// Threads count against a container's process limit (pids.max of cgroups, RLIMIT_NPROC), and
// a fork bomb in the container uses it up. The Go runtime starts a thread when there is work
// and all those it has are blocked in system calls; when it cannot, it tries for 210 ms and
// aborts the program ("failed to create new OS thread", runtime/os_linux.go). It never
// gives up a thread that it has. debug.SetMaxThreads is no remedy: it only makes the
// program abort sooner.
//
// So there are two things to do. Reserve, at boot, makes the threads while they can be made.
// A Gate bounds how many goroutines are in blocking system calls at the same time, so that
// no more are ever needed. Waiting for a channel, a timer or the network needs no thread;
// a file's read, write, fsync, stat and the like do.
package threads

import (
	"runtime"
	"sync"
)

// spare is what the runtime needs beyond those that run Go code or block: its monitor
// (sysmon), the one that makes threads for locked threads, the one that waits for signals,
// and the short calls that pass no Gate (a log line, a clock, /proc).
const spare = 6

// Reserve makes the runtime own threads enough for blocking goroutines in system calls beside
// GOMAXPROCS running ones. It takes some 50 microseconds and 20 KiB a thread.
func Reserve(blocking int) {
	n := runtime.GOMAXPROCS(0) + blocking + spare
	// A goroutine that is locked to its thread and waits keeps that thread from everyone
	// else, so n of them at once need n threads; once unlocked they are the runtime's spares.
	var arrived, left sync.WaitGroup
	leave := make(chan struct{})
	arrived.Add(n)
	for range n {
		left.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			arrived.Done()
			<-leave
		})
	}
	arrived.Wait()
	close(leave)
	left.Wait()
}

// A Gate admits so many goroutines at a time. The nil Gate admits all.
type Gate chan struct{}

// NewGate admits n at a time.
func NewGate(n int) Gate { return make(Gate, n) }

// Enter waits for its turn; Leave must follow. Between them there is one blocking call or a
// few, never another Enter: goroutines that hold a place and wait for a second one would
// wait for each other.
func (g Gate) Enter() {
	if g != nil {
		g <- struct{}{}
	}
}

// Leave lets the next one in.
func (g Gate) Leave() {
	if g != nil {
		<-g
	}
}

// Disk is the process's one gate for calls on files. It is nil, and admits all, until a main
// sets it at boot, before anything else runs.
var Disk Gate
