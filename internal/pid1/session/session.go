// Package session runs a command that is exec'd into a sandbox with the rights of the sandbox's own
// command: the agent's user, an empty capability bounding set, no_new_privs, a raised
// oom_score_adj and no ignored signal. Its environment is the caller's.
//
// An engine gives a session the bounding set of the container and the score of PID 1, so that the
// kernel, short of memory, might end PID 1 for it. It puts it beside PID 1 as well, where a host divides the memory. The engine therefore starts this program, as root
// where PID 1 is root, and it becomes the command: the session's process keeps its number.
package session

import (
	"fmt"
	"os"
	"runtime"
	"syscall"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/pid1/privilege"
	"github.com/matrx/sandbox/internal/pid1/process"
	"github.com/matrx/sandbox/internal/pid1/sigtramp"
)

// Main becomes the command and returns only an exit code, when it cannot.
func Main(args []string) int {
	if len(args) == 0 {
		fmt.Fprintf(os.Stderr, "sandbox-init: %s needs a command\n", contract.SessionRole)
		return contract.ExitNotExecutable
	}
	// While this is root's: the agent cannot reach the socket.
	if host := os.Getenv(contract.EnvMemorySocket); host != "" {
		if err := process.Move(host, os.Getpid()); err != nil {
			fmt.Fprintf(os.Stderr, "sandbox-init: the memory of %q counts as the sandbox's, not as the workload's: %v\n", args[0], err)
		}
	}
	if err := confine(); err != nil {
		fmt.Fprintf(os.Stderr, "sandbox-init: cannot run %q as the agent: %v\n", args[0], err)
		return contract.ExitNotExecutable
	}
	failed := process.Exec(args, os.Environ())
	fmt.Fprintf(os.Stderr, "sandbox-init: %v\n", failed)
	return failed.Code()
}

// confine takes the rights from the thread that becomes the command. The order matters: the
// score's file is root's once this is the agent's process, and a bounding set is dropped by
// root alone.
func confine() error {
	mode := privilege.Agent
	if os.Geteuid() == 0 {
		mode = privilege.Root
	}
	process.Expose()
	if err := sigtramp.ClearIgnored(); err != nil { // the engine's own: runc leaves signal 32 ignored
		return err
	}
	runtime.LockOSThread() // execve(2) keeps the rights of its thread
	if err := mode.ConfineWorkload(); err != nil {
		return err
	}
	if c := mode.AgentCredential(); c != nil {
		if err := become(c); err != nil {
			return err
		}
	}
	// Entered with root's rights; the agent may have none to search it.
	return os.Chdir(".")
}

func become(c *syscall.Credential) error {
	if err := syscall.Setgroups([]int{}); err != nil {
		return fmt.Errorf("cannot leave root's groups: %w", err)
	}
	if err := syscall.Setgid(int(c.Gid)); err != nil {
		return fmt.Errorf("cannot take GID %d: %w", c.Gid, err)
	}
	if err := syscall.Setuid(int(c.Uid)); err != nil {
		return fmt.Errorf("cannot take UID %d: %w", c.Uid, err)
	}
	return nil
}
