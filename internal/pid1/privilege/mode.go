package privilege

import (
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
)

// Mode is how sandbox-init was started.
type Mode int

// The two modes.
const (
	Root  Mode = iota // UID 0: isolation full
	Agent             // UID 1000: isolation none
)

// Isolation is the mode's word in contract.State.
func (m Mode) Isolation() string {
	if m == Root {
		return contract.IsolationFull
	}
	return contract.IsolationNone
}

// Detect finds the mode and checks that it can be kept.
func Detect() (Mode, error) {
	switch uid := os.Geteuid(); uid {
	case contract.AgentUID:
		return Agent, nil
	case 0:
		return Root, checkCapabilities()
	default:
		return Agent, fmt.Errorf("cannot run as UID %d; start the container as root (--user 0), or as the agent (--user %d)", uid, contract.AgentUID)
	}
}

// required is what PID 1 itself needs as root, and what for.
func required() []capability {
	return []capability{
		{unix.CAP_SETUID, "SETUID", "to become the agent"},
		{unix.CAP_SETGID, "SETGID", "to become the agent"},
		{unix.CAP_SETPCAP, "SETPCAP", "to take every capability from the workload for good"},
		{unix.CAP_KILL, "KILL", "to stop the agent's processes"},
		{unix.CAP_CHOWN, "CHOWN", "to give restored files to the agent"},
		{unix.CAP_FOWNER, "FOWNER", "to restore modes and times of the agent's files"},
		{unix.CAP_DAC_OVERRIDE, "DAC_OVERRIDE", "to read and write the agent's files"},
	}
}

type capability struct {
	number int
	name   string
	why    string
}

func checkCapabilities() error {
	have, err := getCaps()
	if err != nil {
		return err
	}
	var missing, names []string
	for _, c := range required() {
		if !have.has(have.effective, c.number) {
			missing = append(missing, c.name+" "+c.why)
			names = append(names, "--cap-add "+c.name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("cannot run as root without the capabilities %s; start the container with %s, or as the agent (--user %d)",
			strings.Join(missing, ", "), strings.Join(names, " "), contract.AgentUID)
	}
	return nil
}

// AgentCredential is what a child of a sandbox started as root becomes: the agent, in
// no other group. It is nil when there is nothing to change.
func (m Mode) AgentCredential() *syscall.Credential {
	if m == Agent {
		return nil
	}
	return &syscall.Credential{Uid: contract.AgentUID, Gid: contract.AgentGID, Groups: []uint32{}}
}

// Undumpable keeps other processes of the same user from reading this one's memory,
// environment and descriptors through /proc and ptrace (PR_SET_DUMPABLE in prctl(2)).
func Undumpable() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot make sandbox-init non-dumpable: %w", err)
	}
	return nil
}
