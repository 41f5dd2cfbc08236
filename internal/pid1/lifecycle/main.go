package lifecycle

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/logsink"
	"github.com/matrx/sandbox/internal/pid1/privilege"
	"github.com/matrx/sandbox/internal/pid1/process"
	"github.com/matrx/sandbox/internal/threads"
)

// Main reads the configuration of this process, runs a sandbox in it and returns its
// exit code. It never returns before everything that it has started has ended or been
// given up.
func Main(command []string, version string) int {
	// Signals first: from here on none is lost, and a SIGTERM waits for its turn.
	signals, err := process.CatchSignals()
	time.Local = time.UTC // logs are read elsewhere, and zoneinfo costs a file
	mode, modeErr := privilege.Detect()
	cfg, configErr := config.Load(os.Environ(), contract.ConfigFile)
	if err = join(err, modeErr, configErr); err != nil {
		out := logsink.NewWriter(2)
		logsink.New(out, logsink.IsTerminal(2), "error").Error("cannot start the sandbox", "event", "config_invalid", "error", err.Error())
		out.Close(lastWords)
		return contract.ExitConfig
	}
	return mainWith(Options{
		Command:     command,
		Config:      cfg,
		Mode:        mode,
		Environ:     os.Environ(),
		Version:     version,
		ConfigFile:  contract.ConfigFile,
		HooksDir:    contract.HooksDir,
		StorageArgv: []string{"sandbox-init", "storage"},
		ExecdArgv:   []string{"sandbox-init", "execd"},
	}, signals)
}

// join puts errors into one line; errors.Join makes several.
func join(errs ...error) (all error) {
	for _, err := range errs {
		switch {
		case err == nil:
		case all == nil:
			all = err
		default:
			all = fmt.Errorf("%w; %w", all, err)
		}
	}
	return all
}

// mainWith is Main with everything given. It may be called once in a process: it takes
// over SIGCHLD, the umask and the process's attributes. signals is process.CatchSignals().
func mainWith(opts Options, signals *process.Signals) int {
	syscall.Umask(0o022)
	runtime.GOMAXPROCS(min(2, runtime.GOMAXPROCS(0)))

	out := logsink.NewWriter(2)
	log := logsink.New(out, logsink.IsTerminal(2), opts.Config.LogLevel)
	defer func() {
		if n := out.Dropped(); n > 0 {
			log.Warn("log lines were dropped, since no process read them", "event", "log_dropped", "count", n)
		}
		out.Close(lastWords)
	}()

	s := &sandbox{Options: opts, log: log, signals: signals, drained: make(chan []process.Proc, 1), reserved: make(chan struct{})}
	s.ready = readyFile(opts.Config.ReadyFile)
	s.state = newStateFile(opts.Config.RunDir, log, contract.State{
		Phase:     contract.PhaseBoot,
		SandboxID: opts.Config.SandboxID,
		UserID:    opts.Config.UserID,
		Version:   opts.Version,
		PID:       os.Getpid(),
		StartedAt: time.Now().UTC(),
		HotPath:   opts.Config.HotPath,
		ColdPath:  opts.Config.ColdPath,
		Isolation: opts.Mode.Isolation(),

		SessionRole: contract.SessionRole,

		Storage: contract.StorageNone,
		Cold:    contract.ColdNone,
	})
	if err := s.own(); err != nil {
		log.Error("cannot start the sandbox", "event", "boot_failed", "error", err.Error())
		return contract.ExitConfig
	}
	defer s.alarm.close()
	return s.run()
}

// own makes what lives as long as this process, while threads can still be had.
func (s *sandbox) own() (err error) {
	if os.Getpid() != 1 {
		// Orphans of the workload become ours instead of PID 1's (prctl(2)).
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("cannot become the subreaper: %w", err)
		}
	}
	if s.null, err = os.Open(os.DevNull); err != nil {
		return fmt.Errorf("cannot open %s: %w", os.DevNull, err)
	}
	s.reaper = process.NewReaper(s.signals.Children)
	if s.agents, err = s.reaper.NewSpawner(s.Mode.ConfineWorkload); err != nil {
		return err
	}
	if s.Config.HasStorage() || s.Config.Unbound {
		spawner, err := s.reaper.NewSpawner(s.Mode.ConfineStorage)
		if err != nil {
			return err
		}
		s.storage = newStorage(s, spawner)
	}
	if s.alarm, err = newAlarm(); err != nil {
		return err
	}
	blocking := s.blockingThreads()
	go func() {
		threads.Reserve(blocking)
		close(s.reserved)
	}()
	// After the spawners: they have opened what of /proc/self is root's from here on.
	return privilege.Undumpable()
}
