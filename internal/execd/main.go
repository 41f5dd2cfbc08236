package execd

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/matrx/sandbox/internal/pid1/sigtramp"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/logsink"
	"github.com/matrx/sandbox/internal/pid1/privilege"
	"github.com/matrx/sandbox/internal/pid1/process"
	"github.com/matrx/sandbox/internal/threads"
	"github.com/matrx/sandbox/internal/wire"
)

// Threads count against the sandbox's process limit (see threads).
const (
	mostProcs  = 2
	fileCalls  = 4                              // calls on files at a time
	otherCalls = 1 + mostStops + mostCopies + 1 // the log's writer, what ends execs, what moves content, the reaper
)

// memoryGoal is for the collector: what is bounded above, and what the Go runtime itself has.
const memoryGoal = 64 << 20

// lastStreams is how long the last output may take to be read once all processes have ended.
const lastStreams = time.Second

// Main is the exec server's process, which PID 1 starts with the descriptors of wire.Execd. args are the home,
// the least level that is logged and, while the sandbox is no user's, wire.ExecdUnbound.
func Main(args []string) int {
	if len(args) != 2 && (len(args) != 3 || args[2] != wire.ExecdUnbound) {
		fmt.Fprintln(os.Stderr, "sandbox-init: execd is for sandbox-init's own use")
		return 2
	}
	for _, fd := range []int{wire.ExecdListener, wire.ExecdRecords, wire.ExecdControl, wire.ExecdEnviron} {
		unix.CloseOnExec(fd)
	}
	runtime.GOMAXPROCS(min(mostProcs, runtime.GOMAXPROCS(0)))
	time.Local = time.UTC
	out := logsink.NewWriter(2)
	defer out.Close(time.Second)
	log := logsink.New(out, logsink.IsTerminal(2), args[1])
	if err := run(args[0], len(args) == 3, log); err != nil {
		log.Error("the exec server cannot work", "event", "execd_failed", "error", err.Error())
		return 1
	}
	return 0
}

func run(home string, unbound bool, log *slog.Logger) error {
	if err := privilege.BecomeAgent(); err != nil {
		return err
	}
	threads.Disk = threads.NewGate(fileCalls)
	threads.Reserve(fileCalls + otherCalls)
	debug.SetMemoryLimit(memoryGoal)
	control := os.NewFile(wire.ExecdControl, "control")
	if err := unix.SetNonblock(wire.ExecdControl, true); err != nil || control == nil {
		return fmt.Errorf("it was not started by sandbox-init: %w", err)
	}
	file := os.NewFile(wire.ExecdListener, "socket")
	l, err := net.FileListener(file)
	if err != nil {
		return fmt.Errorf("the socket cannot be used: %w", err)
	}
	file.Close()
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // the name is PID 1's
	}
	return serve(l, control, Options{
		Home: home, Unbound: unbound, Environ: os.NewFile(wire.ExecdEnviron, "environ"), Records: os.NewFile(wire.ExecdRecords, "records"), Log: log,
	})
}

// serve serves until PID 1 closes its end of control, or is gone.
func serve(l net.Listener, control *os.File, o Options) error {
	// An exec inherits what is ignored, and runc and posix_spawn(3) of glibc leave signal 32 so.
	if err := sigtramp.ClearIgnored(); err != nil {
		return fmt.Errorf("cannot give signals their default actions: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot become the subreaper: %w", err)
	}
	o.Reaper = process.NewReaper(deaths())
	s, err := newServer(o)
	if err != nil {
		return err
	}
	if err := os.Chdir(o.Home); err != nil {
		o.Log.Warn("relative paths begin at the root", "event", "execd_home", "error", err.Error())
	}
	conn, err := control.SyscallConn()
	if err != nil {
		return fmt.Errorf("cannot hear PID 1: %w", err)
	}
	s.told = func() (yes bool) {
		_ = conn.Control(func(fd uintptr) { yes = readable(int(fd)) })
		return yes
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	for over := false; !over; {
		err := conn.Read(func(fd uintptr) bool {
			if !readable(int(fd)) {
				return false
			}
			over = s.hear(int(fd))
			return true
		})
		over = over || err != nil
	}
	s.Ready() // what still waits is told that it comes too late
	s.Close(lastStreams)
	return <-served
}

// hear does what PID 1 says next. It says the end by closing its end, or by its own.
func (s *Server) hear(control int) (over bool) {
	s.hearing.Lock()
	defer s.hearing.Unlock()
	var said [1]byte
	n, err := unix.Read(control, said[:])
	switch {
	case err == unix.EINTR || err == unix.EAGAIN:
		return false
	case n != 1:
		return true
	case said[0] == wire.ExecdBound:
		s.Bind()
	case said[0] == wire.ExecdReady:
		s.Ready()
	case said[0] == wire.ExecdDrain:
		s.Drain()
	}
	return false
}

// deaths has a value when a child has ended. The signals that would end this process are taken and dropped: it ends
// when PID 1 says so. They are handled, not ignored, since a child inherits what is ignored.
func deaths() <-chan struct{} {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGCHLD, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGPIPE)
	died := make(chan struct{}, 1)
	go func() {
		for sig := range signals {
			if sig != syscall.SIGCHLD {
				continue
			}
			select {
			case died <- struct{}{}:
			default:
			}
		}
	}()
	return died
}
