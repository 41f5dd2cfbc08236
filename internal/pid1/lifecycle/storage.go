package lifecycle

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/pid1/privilege"
	"github.com/matrx/sandbox/internal/pid1/process"
	"github.com/matrx/sandbox/internal/wire"
)

// storage is PID 1's side of the storage process: it starts one, starts another when it
// dies, and tells each what the sandbox has come to. A nil storage is a sandbox that
// keeps nothing; every method is a no-op on it.
type storage struct {
	s       *sandbox
	spawner *process.Spawner

	conn     *wire.Conn
	child    *process.Child
	started  int64
	messages chan message
	silent   bool            // its end of the wire is closed
	status   *process.Status // it has ended

	unbound  bool     // there is no configuration yet that it could have
	environ  []string // what the present process was started with
	outdated bool     // it is killed because that is no longer right

	said bool // Hello: it may have the credentials
	up   bool // Hydrated: it works

	hydrated bool          // some storage process has hydrated: the next one resumes
	failed   *wire.Failed  // the workspace is not available
	flushed  *wire.Flushed // the end
	over     bool          // none is started any more
	starved  bool          // the process limit left it no room

	restartAt int64 // never: not due
	deaths    int   // in a row
	mute      int   // of these, before Hello

	// What every storage process is told once it is up.
	drainBy, flushBy *wire.Deadline
}

// message is what came from a storage process.
type message struct {
	from *process.Child
	wire.Message
	err error // the last: it is gone
}

// helloWithin bounds the time from fork to Hello; under memory pressure it is long.
const helloWithin = 30 * time.Second

func newStorage(s *sandbox, spawner *process.Spawner) *storage {
	return &storage{s: s, spawner: spawner, restartAt: never, messages: make(chan message)}
}

// begin starts the storage process, or tells the one that waits since before the bind what to be.
func (t *storage) begin() error {
	if !t.unbound {
		return t.start()
	}
	t.unbound = false
	switch {
	case t.child == nil: // it has died, and its follower is due
	case !slices.Equal(t.environ, privilege.ServiceEnviron(t.s.Environ)):
		t.outdated = true
		t.kill()
	case t.said:
		t.tell()
	}
	return nil
}

// start starts a storage process.
func (t *storage) start() error {
	t.restartAt, t.silent, t.status, t.said, t.up = never, false, nil, false, false
	conn, theirs, err := wire.Pair()
	if err != nil {
		return err
	}
	defer theirs.Close() // after the fork: an end that stays open here hides its death
	t.environ = privilege.ServiceEnviron(t.s.Environ)
	child, err := t.spawner.Start(process.Spec{
		Path:     process.SelfExe,
		Argv:     t.s.StorageArgv,
		Env:      t.environ,
		Dir:      "/",
		Files:    [3]uintptr{t.s.null.Fd(), 2, 2},
		Extra:    []uintptr{theirs.Fd()},
		Terminal: -1,
		Kept:     true,
	})
	if err != nil {
		conn.Close()
		return fmt.Errorf("cannot start the storage process: %w", err)
	}
	t.conn, t.child, t.started = conn, child, now()
	go t.read(conn, child)
	t.s.state.update(func(st *contract.State) { st.StoragePID = child.PID })
	return nil
}

// read hands on what a storage process says, until it is gone.
func (t *storage) read(conn *wire.Conn, from *process.Child) {
	for {
		m, fds, err := conn.Recv()
		for _, fd := range fds { // none is expected
			unix.Close(fd)
		}
		t.messages <- message{from, m, err}
		if err != nil {
			return
		}
	}
}

// due is when restart has something to do.
func (t *storage) due() int64 {
	switch {
	case t == nil:
		return never
	case t.child != nil && !t.said:
		return min(t.restartAt, t.started+int64(helloWithin))
	}
	return t.restartAt
}

func (t *storage) incoming() <-chan message {
	if t == nil {
		return nil
	}
	return t.messages
}

func (t *storage) exited() <-chan process.Status {
	if t == nil || t.status != nil {
		return nil
	}
	return done(t.child, true)
}

// gone takes the process's status. Its last messages may still be on the way.
func (t *storage) gone(status process.Status) bool {
	t.status = &status
	return t.died()
}

// died acts on a death once both the status and all messages are here.
func (t *storage) died() bool {
	if t.status == nil || !t.silent {
		return false
	}
	t.conn.Close()
	t.conn, t.child, t.up = nil, nil, false
	t.s.coldLost()
	t.s.state.update(func(st *contract.State) { st.StoragePID = 0 })
	if t.over || t.flushed != nil {
		return true
	}
	if t.outdated {
		t.outdated, t.restartAt = false, now()
		return false
	}
	const healthy = int64(time.Minute)
	if now()-t.started > healthy {
		t.deaths, t.mute = 0, 0
	}
	t.deaths++
	if t.said {
		t.mute = 0
	} else {
		t.mute++
	}
	t.s.log.Error("the storage process has died and is started again", "event", "storage_died",
		"code", t.status.Code(), "deaths", t.deaths, "hydrated", t.hydrated)
	t.problem("the storage process has died (code %d) and is being started again; changes are kept on disk meanwhile", t.status.Code())
	if t.mute >= 2 {
		// It cannot even begin. Without room for its threads the Go runtime aborts,
		// and the workload has taken the room.
		t.starved = true
	}
	t.retry()
	return true
}

// retry makes the next start due: at once after the first death, then later each time.
func (t *storage) retry() {
	wait := time.Duration(0)
	if t.deaths > 1 {
		wait = min(100*time.Millisecond<<min(t.deaths-2, 10), t.patience())
	}
	t.restartAt = now() + int64(wait)
}

// patience is the longest wait between two starts.
func (t *storage) patience() time.Duration {
	if t.flushBy != nil {
		return time.Second // the clock runs
	}
	return 10 * time.Second
}

// restart does what is due, and says whether the state has changed.
func (t *storage) restart() bool {
	if t == nil || now() < t.due() {
		return false
	}
	if t.child != nil {
		t.s.log.Error("the storage process does not answer and is killed", "event", "storage_mute", "pid", t.child.PID)
		t.started = now() // once
		t.kill()
		return false
	}
	if t.over {
		t.restartAt = never
		return false
	}
	if t.hydrated || t.deaths > 0 {
		t.s.state.update(func(st *contract.State) { st.StorageRestarts++ })
	}
	if err := t.start(); err != nil {
		t.s.log.Error("the storage process cannot be started", "event", "storage_failed", "error", err.Error())
		t.deaths++
		t.starved = errors.Is(err, syscall.EAGAIN)
		t.retry()
		return true
	}
	return false
}

func (t *storage) kill() {
	if t.child != nil {
		_ = t.child.Signal(unix.SIGKILL)
	}
}

func (t *storage) isStarved() bool { return t != nil && t.starved }

func (t *storage) problem(format string, args ...any) {
	t.s.state.update(func(st *contract.State) { st.Problem = fmt.Sprintf(format, args...) })
}

// end ends the storage process for good. It has answered Flushed, or its time is up:
// either way nothing more is to be had from it.
func (t *storage) end() {
	if t == nil {
		return
	}
	t.over, t.restartAt = true, never
	t.s.unmountCold()
	t.kill()
	for giveUp := now() + int64(time.Second); t.child != nil; {
		if t.s.next(giveUp) == evDeadline {
			return
		}
	}
}
