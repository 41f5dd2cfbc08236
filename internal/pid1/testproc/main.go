// Command testproc plays the workloads that tests and benchmarks put below an init: well
// behaved ones, rude ones, and ten thousand orphans.
//
//	testproc ROLE [ARG...]
//
// Roles are small and each says on standard output, one line at a time, what a test
// waits for. Nothing here is part of an image.
package main

import (
	"fmt"
	"os"
	"slices"
)

// role plays one part with the arguments that follow its name.
type role struct {
	name string
	play func(args []string) error
}

func roles() []role {
	return []role{
		{"exit", exit},           // CODE
		{"die", die},             // SIGNAL: ends by it
		{"pause", pause},         // [CODE]: says ready; SIGTERM and SIGINT end it with CODE
		{"ignore", ignore},       // says ready and each signal, and stays
		{"signals", signals},     // says each signal that it gets, until USR2
		{"inherited", inherited}, // says what a process inherits
		{"orphans", orphans},     // N: says how long their reaping took
		{"orphan", orphan},       // ARGS...: plays ARGS in a grandchild and ends
		{"session", session},     // ARGS...: plays ARGS in a session of its own and ends
		{"storm", storm},         // forks for ever and ignores every signal
		{"bomb", bomb},           // forks until it may not, and again
		{"hog", hog},             // takes memory until it is killed
		{"pidns", pidns},         // COMMAND...: becomes it as PID 1 of a namespace
		{"waiters", waiters},     // N: for orphans' own use
	}
}

func main() {
	if len(os.Args) > 1 {
		all := roles()
		if i := slices.IndexFunc(all, func(r role) bool { return r.name == os.Args[1] }); i >= 0 {
			if err := all[i].play(os.Args[2:]); err != nil {
				fmt.Fprintf(os.Stderr, "testproc %s: %v\n", os.Args[1], err)
				os.Exit(99)
			}
			return
		}
	}
	fmt.Fprintln(os.Stderr, "testproc: unknown role")
	os.Exit(98)
}
