package process

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Spawner forks on one thread of its own. The thread's attributes are what the
// children inherit: its capability bounding set, its no_new_privs, and its signal
// mask, which is empty. A thread is cheaper than a second program between fork
// and exec that would set all this up (1 to 2 ms for a Go one).
type Spawner struct {
	reaper   *Reaper
	requests chan request
	oom      int // /proc/self/oom_score_adj, or -1
}

type request struct {
	spec  Spec
	reply chan<- reply
}

type reply struct {
	child *Child
	err   error
}

// Spec says what to start.
type Spec struct {
	Argv  []string // Argv[0] is looked up in Env's PATH as execvp(3) does, unless there is a
	Path  string   // path of what to execute
	Env   []string
	Dir   string     // empty: this process's own
	Files [3]uintptr // the child's 0, 1 and 2
	Extra []uintptr  // its 3, 4, ...

	// Credential, when not nil, is what the child becomes.
	Credential *syscall.Credential

	// Terminal, when not negative, is a descriptor of the controlling terminal, in whose
	// foreground the command is put before it runs.
	Terminal int

	// Expendable raises the child's oom_score_adj, so that memory pressure ends it
	// and its descendants before this process.
	Expendable bool

	// Kept: a Stop leaves it and its descendants alone. Spared: it alone.
	Kept, Spared bool

	// Session: the child leads a session of its own, not only a process group. With Controlling its
	// descriptor 0 is the session's controlling terminal.
	Session, Controlling bool

	gated bool // the last of Extra is the gate, see Held

	// Leashed: the kernel kills the child when this process ends (PR_SET_PDEATHSIG in prctl(2)). It does so
	// when the thread that forked ends; a Spawner's thread lives as long as the process.
	Leashed bool
}

// NewSpawner makes the thread and runs confine on it, which may set attributes of the
// thread that cannot be taken back.
func (r *Reaper) NewSpawner(confine func() error) (*Spawner, error) {
	s := &Spawner{reaper: r, requests: make(chan request), oom: oomScore()}
	started := make(chan error, 1)
	go func() {
		// Never unlocked: a thread that has lost rights must not run anything else.
		runtime.LockOSThread()
		err := emptySignalMask()
		if err == nil && confine != nil {
			err = confine()
		}
		started <- err
		if err != nil {
			return // a locked goroutine that returns takes its thread with it
		}
		for q := range s.requests {
			child, err := s.start(q.spec)
			q.reply <- reply{child, err}
		}
	}()
	return s, <-started
}

// Start starts a process in a process group of its own. The error is a *StartError
// when the command could not be found or executed.
func (s *Spawner) Start(spec Spec) (*Child, error) {
	c := make(chan reply, 1)
	s.requests <- request{spec, c}
	r := <-c
	return r.child, r.err
}

func (s *Spawner) start(spec Spec) (*Child, error) {
	if len(spec.Argv) == 0 {
		return nil, errors.New("cannot start a command without a name")
	}
	attr := &syscall.ProcAttr{
		Dir:   spec.Dir,
		Env:   spec.Env,
		Files: append(spec.Files[:], spec.Extra...),
		Sys:   &syscall.SysProcAttr{Setpgid: !spec.Session, Setsid: spec.Session, Setctty: spec.Controlling, Credential: spec.Credential},
	}
	if spec.Leashed {
		attr.Sys.Pdeathsig = unix.SIGKILL
	}
	return s.reaper.start(func() (int, error) {
		if spec.Expendable {
			// The child copies the value at fork, before it can fork itself.
			// Raising it for that moment needs no capability and
			// neither does going back, since the floor stays where it was.
			defer s.expendable()()
		}
		if spec.Terminal >= 0 || spec.gated {
			pid, err := syscall.ForkExec(SelfExe, launchArgv(spec), attr)
			if errors.Is(err, syscall.EACCES) {
				err = fmt.Errorf("cannot execute sandbox-init as the agent, which it is before it becomes the command: %w; the file must be executable for every user (mode 0755)", err)
			}
			return pid, err
		}
		if spec.Path != "" {
			return syscall.ForkExec(spec.Path, spec.Argv, attr)
		}
		return forkExec(spec.Argv, attr)
	}, spec.Kept, spec.Spared)
}

// emptySignalMask unblocks every signal on this thread, whichever mask sandbox-init was
// started with: a mask survives fork and exec.
func emptySignalMask() error {
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &unix.Sigset_t{}, nil); err != nil {
		return fmt.Errorf("cannot empty the signal mask: %w", err)
	}
	return nil
}
