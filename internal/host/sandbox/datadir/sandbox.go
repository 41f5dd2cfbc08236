package datadir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/sandbox/disk"
)

// Sandbox is the directory of one sandbox in a data directory.
type Sandbox struct {
	ID   string
	path string
}

// ErrExists says that there is a sandbox of that ID.
var ErrExists = errors.New("there is a sandbox of that ID already")

// ContainerName is the name of the sandbox's container, which no other container of the engine has.
func (s Sandbox) ContainerName() string { return "sandbox-" + s.ID }

// Dir is the data directory that the sandbox is in.
func (s Sandbox) Dir() Dir { return Dir{filepath.Dir(filepath.Dir(s.path))} }

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

// Exists says whether there is a sandbox of that ID.
func (s Sandbox) Exists() bool {
	_, err := os.Lstat(s.path)
	return !errors.Is(err, fs.ErrNotExist)
}

// Written is when the record was written, the zero time when there is none.
func (s Sandbox) Written() time.Time {
	fi, err := os.Stat(s.file("record.json"))
	if err != nil {
		return time.Time{}
	}
	return fi.ModTime()
}

// Load reads the record; fs.ErrNotExist when there is none.
func (s Sandbox) Load() (Record, error) {
	b, err := os.ReadFile(s.file("record.json"))
	if err != nil {
		return Record{}, fmt.Errorf("cannot read the record of the sandbox %s: %w", s.ID, err)
	}
	var r Record
	if err := json.Unmarshal(b, &r); err != nil {
		return Record{}, fmt.Errorf("cannot read the record of the sandbox %s: %s: %w", s.ID, s.file("record.json"), err)
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
