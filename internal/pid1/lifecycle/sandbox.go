package lifecycle

import (
	"log/slog"
	"os"
	"syscall"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/pid1/privilege"
	"github.com/matrx/sandbox/internal/pid1/process"
)

// Options is all that a sandbox depends on.
type Options struct {
	Command []string // empty: an idle sandbox, until it is stopped
	Config  *config.Config
	Mode    privilege.Mode
	Environ []string // this process's own; os.Environ
	Version string

	// ConfigFile is sandbox.conf.
	ConfigFile string

	// HooksDir has pre-start.d and pre-stop.d; contract.HooksDir.
	HooksDir string

	// StorageArgv is the argument vector that makes this program the storage process.
	StorageArgv []string

	// ExecdArgv is that which makes it the exec server.
	ExecdArgv []string
}

// sandbox is the one that this process supervises. Its fields belong to the goroutine
// that runs it.
type sandbox struct {
	Options
	log   *slog.Logger
	state *stateFile
	ready readyFile
	env   []string // the workload's

	reaper   *process.Reaper
	agents   *process.Spawner // forks what runs as the agent
	signals  *process.Signals
	reserved chan struct{} // closed when all threads are there
	alarm    *alarm

	prepared *process.Held // the command, as long as it is not started: see prepare

	command *process.Child // nil: not started, or an idle sandbox
	ended   bool           // command has ended, with
	status  process.Status // this

	hook     *process.Child // the one that runs now
	hookDone process.Status

	drained chan []process.Proc
	left    []process.Proc // what the drain could not stop

	stops      int            // how often SIGTERM or SIGINT came
	stopSignal syscall.Signal // the first
	budget     budget         // valid once stops > 0 or ended

	storage *storage // nil: nothing is kept
	execd   *execd   // nil: not asked for
	binder  *binder  // nil: not started unbound
	waiting bool     // for its user

	accepted bindRequest // what has made it its user's
	cold     coldState
	null     *os.File // /dev/null, the stdin of all but the command
}

// blockingThreads are those that stay in a system call for long, beyond the ones that
// threads.Reserve adds for short calls: none. This goroutine, the log, the state file,
// the reaper and the drain make short ones, at most five at a time; the spawners have
// their threads already, and signals, timers and the wire wait in the poller.
//
// Where a sandbox is bound, its record is synced to the disk beside the hydrate: one.
func (s *sandbox) blockingThreads() int {
	if s.Config.Unbound {
		return 1
	}
	return 0
}

// lastWords is how long exit waits for a reader of the log that has stopped reading.
const lastWords = time.Second

// run takes the sandbox from boot to its exit code.
func (s *sandbox) run() int {
	if code := s.boot(); code != 0 {
		return code
	}
	if !s.Config.Unbound {
		s.begin(false)
	} else if code, bound := s.unbound(); !bound {
		return s.exit(code)
	}
	s.prepare()
	if s.storage != nil {
		if code, ok := s.hydrate(); !ok {
			return s.exit(code)
		}
	}
	code := s.work()
	s.abandonPrepared()
	code = s.drain(code)
	s.execd.end() // before the flush's last look
	if s.storage != nil {
		code = s.flush(code)
	}
	return s.exit(code)
}

// exit is the last state.
func (s *sandbox) exit(code int) int {
	s.abandonPrepared()
	s.execd.end()
	s.storage.end()
	s.binder.end()
	s.state.publish(func(st *contract.State) {
		st.Phase, st.Ready, st.WorkloadPID, st.ExitCode = contract.PhaseExit, false, 0, &code
	})
	s.log.Info("the sandbox ends", "event", "exit", "code", code)
	return code
}

// notRun is the exit code of a sandbox that was stopped before its command ran: what a
// command that this signal ends would have had. An idle one has done all it was asked.
func (s *sandbox) notRun() int {
	if len(s.Command) == 0 {
		return 0
	}
	return contract.ExitSignalBase + int(s.stopSignal)
}
