package datadir

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/sandbox/disk"
)

// Sandbox is the place of one sandbox in a data directory.
type Sandbox struct {
	ID   string
	path string
}

// ErrExists says that there is a sandbox of that ID.
var ErrExists = errors.New("there is a sandbox of that ID already")

func (s Sandbox) file(name string) string { return filepath.Join(s.path, name) }

// HostDir is mounted at contract.HostDir, RunDir at contract.DefaultRunDir; LogFile has the
// output once the container is gone.
func (s Sandbox) HostDir() string { return s.file("host") }

// Disk has home and state, when their size is limited.
func (s Sandbox) Disk() disk.Disk { return disk.At(s.file("disk")) }

// RunDir see HostDir.
func (s Sandbox) RunDir() string { return s.file("run") }

// LogFile see HostDir.
func (s Sandbox) LogFile() string { return s.file("log") }

// EarlierLogFile has the output of the run before, when what that run had kept was saved
// by another.
func (s Sandbox) EarlierLogFile() string { return s.file("log.earlier") }

// SetLogAside makes LogFile EarlierLogFile. An earlier one still counts: it is the
// workload's, and what followed only saved.
func (s Sandbox) SetLogAside() error {
	if _, err := os.Stat(s.EarlierLogFile()); err == nil {
		return nil
	}
	err := os.Rename(s.LogFile(), s.EarlierLogFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Make makes the place of a new sandbox, ErrExists when its ID is taken.
func (s Sandbox) Make() error {
	err := os.Mkdir(s.path, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("cannot make the sandbox %s: %w; `sandbox ps --all` lists them", s.ID, ErrExists)
	}
	for _, d := range []string{s.HostDir(), s.RunDir()} {
		if err == nil {
			err = os.Mkdir(d, 0o700)
		}
	}
	if err != nil {
		return fmt.Errorf("cannot make the sandbox %s: %w", s.ID, err)
	}
	return nil
}

// Remove removes the place and all in it.
func (s Sandbox) Remove() error {
	// While there is a record: whoever is killed in between leaves a mount that somebody ends.
	if err := s.Disk().Remove(); err != nil {
		return fmt.Errorf("cannot remove what is known of the sandbox %s: %w", s.ID, err)
	}
	// Then the record: without it the rest is nobody's.
	err := os.Remove(s.file("record.json"))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = os.RemoveAll(s.path)
	}
	if err != nil {
		return fmt.Errorf("cannot remove what is known of the sandbox %s: %w", s.ID, err)
	}
	return nil
}

// Load reads the record; fs.ErrNotExist when there is none.
func (s Sandbox) Load() (Record, error) {
	b, err := os.ReadFile(s.file("record.json"))
	if err != nil {
		return Record{}, fmt.Errorf("cannot read what is known of the sandbox %s: %w", s.ID, err)
	}
	var r Record
	if err := json.Unmarshal(b, &r); err != nil {
		return Record{}, fmt.Errorf("cannot read what is known of the sandbox %s: %s: %w", s.ID, s.file("record.json"), err)
	}
	return r, nil
}

// Save writes the record, whole or not at all. Only the holder of the lock may.
func (s Sandbox) Save(r Record) error {
	b, err := json.MarshalIndent(r, "", "\t")
	if err == nil {
		err = replace(s.file("record.json"), append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("cannot record the sandbox %s: %w", s.ID, err)
	}
	return nil
}

// Instance is the INSTANCE that this sandbox's container has written into its lease;
// empty when it never did.
func (s Sandbox) Instance() string {
	b, err := os.ReadFile(s.file("instance"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// SetInstance remembers it. Only the gateway calls this.
func (s Sandbox) SetInstance(instance string) error {
	if s.Instance() == instance {
		return nil
	}
	return replace(s.file("instance"), []byte(instance+"\n"))
}

// MarkStop remembers that the sandbox was told from outside to end.
func (s Sandbox) MarkStop() error { return s.mark("stop") }

// MarkTimeout remembers that it is ended by its time limit.
func (s Sandbox) MarkTimeout() error { return s.mark("timeout") }

func (s Sandbox) mark(name string) error {
	f, err := os.OpenFile(s.file(name), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("cannot note why the sandbox %s is stopped: %w", s.ID, err)
	}
	return f.Close()
}

// StopMarked says whether MarkStop was called, TimeoutMarked MarkTimeout; ClearMarks
// forgets both for another run.
func (s Sandbox) StopMarked() bool { return s.marked("stop") }

// TimeoutMarked see StopMarked.
func (s Sandbox) TimeoutMarked() bool { return s.marked("timeout") }

func (s Sandbox) marked(name string) bool {
	_, err := os.Stat(s.file(name))
	return err == nil
}

// ClearMarks see StopMarked.
func (s Sandbox) ClearMarks() error {
	for _, name := range []string{"stop", "timeout"} {
		if err := os.Remove(s.file(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// maxState bounds what is read of a file that a container has written.
const maxState = 1 << 20

// State reads the state that sandbox-init has written. The directory is the container's to
// write in, so nothing in it is followed or believed to be small.
func (s Sandbox) State() (contract.State, error) {
	root, err := os.OpenRoot(s.RunDir())
	if errors.Is(err, fs.ErrNotExist) {
		root, err = os.OpenRoot(s.SealedRunDir())
	}
	if err != nil {
		return contract.State{}, err
	}
	defer root.Close()
	// O_NONBLOCK: a FIFO in its place must not hold the host.
	f, err := root.OpenFile(contract.StateFileName, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return contract.State{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxState))
	if err != nil {
		return contract.State{}, err
	}
	var st contract.State
	if err := json.Unmarshal(b, &st); err != nil {
		return contract.State{}, fmt.Errorf("the state of the sandbox %s cannot be read: %w", s.ID, err)
	}
	return st, nil
}

// Lock takes the sandbox into the caller's care, waiting for whoever has it. The
// program that runs a sandbox holds it for as long as it runs; when that program ends or
// is killed, the kernel passes it on. Whoever holds it, and nobody else, changes the
// record and ends what has to be ended.
func (s Sandbox) Lock(ctx context.Context) (*Lock, error) {
	f, err := LockFile(ctx, s.file("lock"))
	if err != nil {
		return nil, err
	}
	return &Lock{f}, nil
}

// ErrCaredFor says that another process looks after the sandbox.
var ErrCaredFor = errors.New("another process looks after the sandbox")

// TryLock is Lock without waiting: ErrCaredFor when somebody has it.
func (s Sandbox) TryLock() (*Lock, error) {
	f, err := os.OpenFile(s.file("lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the sandbox %s: %w", s.ID, err)
	}
	if err := flock(f, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ErrCaredFor
		}
		return nil, fmt.Errorf("cannot lock the sandbox %s: %w", s.ID, err)
	}
	return &Lock{f}, nil
}

// Lock is the care for one sandbox.
type Lock struct{ f *os.File }

// Unlock gives it up.
func (l *Lock) Unlock() { l.f.Close() }
