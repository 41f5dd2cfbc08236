package lifecycle

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/pid1/privilege"
	"github.com/matrx/sandbox/internal/pid1/process"
	"github.com/matrx/sandbox/internal/wire"
)

// execd is PID 1's side of the exec server: it binds the socket, starts a server on it, and starts another when that
// dies. A nil execd is a sandbox whose host did not ask for one; every method is a no-op on it.
//
// The agent may kill the server, which runs as the agent, and can do no more: the socket is in a directory that root
// alone may enter, and a client that comes while there is no server waits in the socket's queue for the next one.
type execd struct {
	s       *sandbox
	spawner *process.Spawner

	listener int      // the socket
	records  *os.File // what the next server must know of the last one's execs
	environ  *os.File // of execs, once it is known
	control  *os.File // the writing end of the present one's pipe

	child     *process.Child
	said      []byte // what each one is told
	started   int64
	deaths    int // in a row
	restartAt int64
	over      bool
}

// execQueue is how many clients may wait for a server.
const execQueue = 512

// newExecd makes what outlives every server.
func newExecd(s *sandbox) (*execd, error) {
	path := s.Config.ExecSocket
	if s.Mode != privilege.Root {
		return nil, fmt.Errorf("cannot serve %s=%s: the agent could put its own socket there, since sandbox-init runs as UID %d; start the container as root (--user 0), or leave %[1]s out",
			contract.EnvExecSocket, path, os.Geteuid())
	}
	if privilege.AgentReaches(path) {
		return nil, fmt.Errorf("cannot serve %s=%s: the agent may enter its directory; make %s, or one above it, root's with mode 0700",
			contract.EnvExecSocket, path, filepath.Dir(path))
	}
	spawner, err := s.reaper.NewSpawner(s.Mode.ConfineExecd)
	if err != nil {
		return nil, err
	}
	records, err := unix.MemfdCreate("execs", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot make the exec server's records: %w", err)
	}
	environ, err := unix.MemfdCreate("environ", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot make a place for the environment of execs: %w", err)
	}
	listener, err := listenAt(path)
	if err != nil {
		return nil, fmt.Errorf("cannot serve %s=%s: %w; its directory must be there, and writable", contract.EnvExecSocket, path, err)
	}
	return &execd{
		s: s, spawner: spawner, listener: listener, restartAt: never,
		records: os.NewFile(uintptr(records), "execs"), environ: os.NewFile(uintptr(environ), "environ"),
	}, nil
}

// begin gives the server the environment of execs, and starts one unless it waits since before the bind.
func (x *execd) begin(env []string) {
	if x == nil {
		return
	}
	var list []byte
	for _, kv := range env {
		list = append(append(list, kv...), 0)
	}
	if _, err := x.environ.WriteAt(list, 0); err != nil {
		x.s.log.Error("execs lack the sandbox's environment", "event", "execd_environ", "error", err.Error())
	}
	if x.started == 0 {
		x.start()
		return
	}
	x.tell(wire.ExecdBound)
}

// listenAt makes a socket under another name and renames it: one that an earlier start of the container has left is
// replaced, and a client finds the old one or the new one. Mode 0666: on the host it is the operator's, whose UID is
// any, and its directory keeps all others out.
func listenAt(path string) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("cannot make a socket: %w", err)
	}
	temp := path + ".new"
	_ = unix.Unlink(temp)
	err = unix.Bind(fd, &unix.SockaddrUnix{Name: temp})
	if err == nil {
		err = unix.Listen(fd, execQueue)
	}
	if err == nil {
		err = unix.Chmod(temp, 0o666)
	}
	if err == nil {
		err = unix.Rename(temp, path)
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	return fd, nil
}

// start starts a server, or says why it cannot and tries again later.
func (x *execd) start() {
	if x == nil {
		return
	}
	x.restartAt = never
	if err := x.fork(); err != nil {
		x.s.log.Error("there is no exec server", "event", "execd_failed", "error", err.Error())
		x.deaths++
		x.retry()
	}
}

func (x *execd) fork() error {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return fmt.Errorf("cannot make a pipe to the exec server: %w", err)
	}
	argv := slices.Concat(x.s.ExecdArgv, []string{x.s.Config.HotPath, x.s.Config.LogLevel})
	if x.s.Config.Unbound {
		argv = append(argv, wire.ExecdUnbound)
	}
	child, err := x.s.startOurs(x.spawner, process.Spec{
		Path:       process.SelfExe,
		Argv:       argv,
		Env:        privilege.ServiceEnviron(x.s.Environ), // its own; that of execs is in environ
		Dir:        "/",
		Files:      [3]uintptr{x.s.null.Fd(), 2, 2},
		Extra:      []uintptr{uintptr(x.listener), x.records.Fd(), uintptr(pipe[0]), x.environ.Fd()},
		Credential: privilege.ExecdCredential(),
		Terminal:   -1,
		// What it starts is the workload, and it is with it: its memory is for the output of the workload's processes.
		Expendable: true,
		Spared:     true,
	})
	unix.Close(pipe[0])
	if err != nil {
		unix.Close(pipe[1])
		return fmt.Errorf("cannot start the exec server: %w", err)
	}
	x.control, x.child, x.started = os.NewFile(uintptr(pipe[1]), "execd"), child, now()
	for _, b := range x.said {
		x.write(b)
	}
	x.s.state.update(func(st *contract.State) { st.ExecPID = child.PID })
	return nil
}

// tell tells this server, and each one that follows it.
func (x *execd) tell(b byte) {
	if x == nil {
		return
	}
	x.said = append(x.said, b)
	if x.control != nil {
		x.write(b)
	}
}

// write fails when the server has just died: the next one is told.
func (x *execd) write(b byte) { _, _ = x.control.Write([]byte{b}) }

func (x *execd) exited() <-chan process.Status {
	if x == nil {
		return nil
	}
	return done(x.child, true)
}

// gone takes a server's status.
func (x *execd) gone(status process.Status) {
	x.control.Close()
	x.control, x.child = nil, nil
	x.s.state.update(func(st *contract.State) { st.ExecPID = 0 })
	if x.over {
		return
	}
	if now()-x.started > int64(time.Minute) {
		x.deaths = 0
	}
	x.deaths++
	x.s.log.Error("the exec server has died and is started again; its execs are lost", "event", "execd_died", "code", status.Code(), "deaths", x.deaths)
	x.retry()
}

// retry makes the next start due: at once after the first death, then later each time.
func (x *execd) retry() {
	wait := time.Duration(0)
	if x.deaths > 1 {
		wait = min(10*time.Millisecond<<min(x.deaths-2, 10), time.Second)
	}
	x.restartAt = now() + int64(wait)
}

func (x *execd) due() int64 {
	if x == nil {
		return never
	}
	return x.restartAt
}

// restart starts the next server when it is due.
func (x *execd) restart() {
	if x == nil || now() < x.restartAt {
		return
	}
	if x.over {
		x.restartAt = never
		return
	}
	x.s.state.update(func(st *contract.State) { st.ExecRestarts++ })
	x.start()
}

// lastOutput is how long the server has to hand its clients what is left, beside a second of its own for those that
// do not read.
const lastOutput = 1500 * time.Millisecond

// end ends the server: no other process is left. Its clients get the last output of their execs before that.
func (x *execd) end() {
	if x == nil || x.over {
		return
	}
	x.over, x.restartAt = true, never
	_ = os.Remove(x.s.Config.ExecSocket)
	_ = unix.Close(x.listener)
	if x.control != nil {
		x.control.Close()
	}
	for giveUp := now() + int64(lastOutput); x.child != nil; {
		if x.s.next(giveUp) == evDeadline {
			x.s.log.Warn("the exec server does not end and is killed", "event", "execd_killed")
			_ = x.child.Signal(unix.SIGKILL)
			giveUp = never
		}
	}
}
