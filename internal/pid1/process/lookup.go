package process

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/matrx/sandbox/contract"
)

// StartError says why a command could not be started.
type StartError struct {
	Command string
	Err     error // a syscall.Errno
}

func (e *StartError) Error() string {
	hint := "check that it is installed and that PATH names its directory"
	if e.Code() == contract.ExitNotExecutable {
		hint = "check that it is a program for this machine, that its interpreter exists and that the agent may execute it"
	}
	return fmt.Sprintf("cannot execute %q: %v; %s", e.Command, e.Err, hint)
}

func (e *StartError) Unwrap() error { return e.Err }

// Code is 127 for a command that does not exist and 126 for any other reason.
func (e *StartError) Code() int {
	if errors.Is(e.Err, syscall.ENOENT) {
		return contract.ExitNotFound
	}
	return contract.ExitNotExecutable
}

// forkExec looks argv[0] up and executes it as execvp(3) does: a name with a slash
// is a path; else every directory of PATH is tried, one that denies access is passed
// over and remembered, and a file that is no program is given to /bin/sh.
func forkExec(argv []string, attr *syscall.ProcAttr) (int, error) {
	var denied error
	for _, path := range candidates(argv[0], attr.Env) {
		pid, err := syscall.ForkExec(path, argv, attr)
		if errors.Is(err, syscall.ENOEXEC) {
			pid, err = syscall.ForkExec("/bin/sh", append([]string{"/bin/sh", path}, argv[1:]...), attr)
		}
		switch {
		case err == nil:
			return pid, nil
		case errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR):
		case errors.Is(err, syscall.EACCES):
			denied = err
		case errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.ENOMEM):
			return 0, fmt.Errorf("cannot make a process for %q: %w; the container's process or memory limit is reached", argv[0], err)
		default:
			return 0, &StartError{argv[0], err}
		}
	}
	if denied != nil {
		return 0, &StartError{argv[0], denied}
	}
	return 0, &StartError{argv[0], syscall.ENOENT}
}

// candidates are the paths that name may mean. Those that do not exist, or lie where
// nothing can be found, are left out, so that no process is forked in vain for each.
func candidates(name string, env []string) []string {
	if name == "" {
		return nil
	}
	if strings.Contains(name, "/") {
		return []string{name}
	}
	path := "/bin:/usr/bin" // glibc's, when there is no PATH
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			path = v
		}
	}
	var found []string
	for dir := range strings.SplitSeq(path, ":") {
		var file string
		if dir != "" { // an empty one is the working directory
			file = dir + "/" + name
		} else {
			file = "./" + name
		}
		if _, err := os.Stat(file); err == nil {
			found = append(found, file)
		}
	}
	return found
}
