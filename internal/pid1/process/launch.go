package process

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// LaunchRole is the argument that makes sandbox-init the small program that
// stands between fork and exec when the child has something to do or to wait for there. It costs some 2 ms.
//
// A terminal: a process group takes the foreground with tcsetpgrp(3), which stops a background
// caller with SIGTTOU unless that is blocked or ignored, and both would be inherited
// by the command. The parent cannot do it either: until the child has run there is
// no such group, and after that the command may already have been stopped for reading.
// So the child does it, in a program that can put its mask right again.
//
// A gate: see Held.
const LaunchRole = "launch"

// SelfExe is this very program, wherever its file has gone.
const SelfExe = "/proc/self/exe"

// none is a descriptor that is not there.
const none = -1

func launchArgv(spec Spec) []string {
	gate := none
	if spec.gated {
		gate = len(spec.Files) + len(spec.Extra) - 1
	}
	return append([]string{"sandbox-init", LaunchRole, strconv.Itoa(gate), strconv.Itoa(spec.Terminal), spec.Path}, spec.Argv...)
}

// Launch is that program; args are what follows LaunchRole. It returns
// only an exit code, when the command cannot be executed or is not wanted any more.
func Launch(args []string) int {
	if len(args) < 4 {
		fmt.Fprintf(os.Stderr, "sandbox-init: %s is for sandbox-init's own use\n", LaunchRole)
		return 2
	}
	gate, err := strconv.Atoi(args[0])
	tty, ttyErr := strconv.Atoi(args[1])
	path, argv := args[2], args[3:]
	if err := errors.Join(err, ttyErr); err != nil {
		fmt.Fprintf(os.Stderr, "sandbox-init: cannot execute %q: %v\n", argv[0], err)
		return 2
	}
	if gate != none && !passes(gate) {
		return 0 // the parent is gone
	}
	if tty != none {
		if err := takeForeground(tty, syscall.Getpgrp()); err != nil {
			// The command still runs, in the background, as it would without a terminal.
			fmt.Fprintf(os.Stderr, "sandbox-init: cannot put %q in the terminal's foreground: %v\n", argv[0], err)
		}
	}
	var failed *StartError
	if path != "" {
		failed = &StartError{argv[0], syscall.Exec(path, argv, os.Environ())}
	} else {
		failed = Exec(argv, os.Environ())
	}
	fmt.Fprintf(os.Stderr, "sandbox-init: %v\n", failed)
	return failed.Code()
}
