// Package datadir is the operator's data directory: the embedded S3's buckets and, for
// every sandbox that was started with it, a record and the directories that are
// mounted into its container.
//
//	s3/                      the buckets of the embedded S3
//	hostd/                   the daemon's lock, socket, log and the embedded S3's account
//	manifests/DIGEST.json    what images say of themselves, see Dir.Manifest
//	hostd/dead/              whose leases need not run out, see Dir.IsDead
//	sandboxes/ID/record.json what is known of one sandbox, see Record
//	sandboxes/ID/lock        held by the process that looks after it, see Sandbox.Lock
//	sandboxes/ID/instance    the holder of its lease, learnt by the gateway
//	sandboxes/ID/host/       mounted at contract.HostDir: the gateway's socket
//	sandboxes/ID/run/        mounted at contract.DefaultRunDir: state.json, the control socket
//	sandboxes/ID/run.sealed/ the same, while its container must not be started: see Sandbox.Seal
//	sandboxes/ID/home/       its home, and
//	sandboxes/ID/state/      its state, where they are no volumes of the engine
//	sandboxes/ID/disk/       its home and state, when their size is limited: package disk
//	sandboxes/ID/log         the output of one whose container is gone
//	trash/                   homes that the daemon removes: package trash
//
// The directory is the operator's alone (0700), so all that lies in it, the sockets that
// a container may open by the mode of their files included, is out of reach of the
// machine's other users.
package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// Dir is a data directory.
type Dir struct {
	path string
}

// defaultDir is $XDG_DATA_HOME/matrx-sandbox, by the XDG base directory specification
// ~/.local/share/matrx-sandbox.
func defaultDir() (string, error) {
	base := os.Getenv("XDG_DATA_HOME")
	if !filepath.IsAbs(base) { // the specification: a relative one is to be ignored
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("cannot choose a data directory: %w; name one with --data-dir", err)
		}
		base = filepath.Join(home, ".local", "share")
	}
	return filepath.Join(base, "matrx-sandbox"), nil
}

// Open opens the data directory at path, or Default when path is empty, and makes what
// is missing of it.
func Open(path string) (Dir, error) {
	if path == "" {
		var err error
		if path, err = defaultDir(); err != nil {
			return Dir{}, err
		}
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return Dir{}, fmt.Errorf("cannot find the data directory: %w", err)
	}
	d := Dir{path}
	// The daemon's directory had another name. One that runs keeps its lock and its sockets.
	if err := os.Rename(filepath.Join(path, "keeper"), d.Hostd()); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
		return Dir{}, fmt.Errorf("cannot rename the daemon's directory: %w", err)
	}
	for _, p := range []string{path, d.Buckets(), d.Hostd(), d.sandboxes(), d.manifests(), d.trashPath()} {
		if err := os.MkdirAll(p, 0o700); err != nil {
			return Dir{}, fmt.Errorf("cannot make the data directory: %w; choose another with --data-dir", err)
		}
		if err := checkOwner(p); err != nil {
			return Dir{}, fmt.Errorf("cannot use the data directory %s: %w", path, err)
		}
	}
	return d, checkAbove(path)
}

// At is the data directory at path, there or not: for one that another user may have
// removed, and that is not to be made again.
func At(path string) Dir { return Dir{path} }

// CheckOwner refuses a directory of another user: what this program writes there that user could not read,
// nor replace, root's above all.
func (d Dir) CheckOwner() error {
	var st unix.Stat_t
	if err := unix.Stat(d.path, &st); err != nil {
		return fmt.Errorf("cannot use the data directory %s: %w", d.path, err)
	}
	if int(st.Uid) == os.Geteuid() {
		return nil
	}
	name := fmt.Sprintf("#%d", st.Uid)
	if u, err := user.LookupId(strconv.Itoa(int(st.Uid))); err == nil {
		name = u.Username
	}
	return fmt.Errorf("cannot use the data directory %s: it belongs to %s; run this as that user, by sudo -u %s", d.path, name, name)
}

// Path is the directory's absolute path.
func (d Dir) Path() string { return d.path }

// Buckets is where the embedded S3 keeps its objects.
func (d Dir) Buckets() string { return filepath.Join(d.path, "s3") }

// Hostd is the daemon's own directory.
func (d Dir) Hostd() string { return filepath.Join(d.path, "hostd") }

// EngineFile is where it is remembered what the container engine is.
func (d Dir) EngineFile() string { return filepath.Join(d.Hostd(), "engine.json") }

func (d Dir) sandboxes() string { return filepath.Join(d.path, "sandboxes") }

func (d Dir) trashPath() string { return filepath.Join(d.path, "trash") }

// validID is made when first needed: it takes half a millisecond, and most of what this program
// is called for needs none.
var validID = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
})

// CheckID says whether an ID can be a SANDBOX_ID or a USER_ID.
func CheckID(what, id string) error {
	if !validID().MatchString(id) {
		return fmt.Errorf("%s is %q; it must be 1 to 128 letters, digits, dots, underscores and hyphens, and begin with a letter or digit", what, id)
	}
	return nil
}

// Sandbox gives the directory of one sandbox, there or not.
func (d Dir) Sandbox(id string) (Sandbox, error) {
	if err := CheckID("the sandbox's ID", id); err != nil {
		return Sandbox{}, err
	}
	return Sandbox{ID: id, path: filepath.Join(d.sandboxes(), id)}, nil
}

// List gives the directories of all sandboxes with a record, by ID.
func (d Dir) List() ([]Sandbox, error) {
	entries, err := os.ReadDir(d.sandboxes())
	if err != nil {
		return nil, fmt.Errorf("cannot list the sandboxes: %w", err)
	}
	var out []Sandbox
	for _, e := range entries {
		s, err := d.Sandbox(e.Name())
		if err != nil {
			continue
		}
		if _, err := os.Stat(s.file("record.json")); err == nil {
			out = append(out, s)
		}
	}
	return out, nil
}

// Records gives all records that can be read, the oldest first; what cannot be read is
// named in the error, beside the others.
func (d Dir) Records() ([]Record, error) {
	dirs, err := d.List()
	if err != nil {
		return nil, err
	}
	var out []Record
	for _, s := range dirs {
		r, rerr := s.Load()
		if errors.Is(rerr, fs.ErrNotExist) { // removed meanwhile
			continue
		}
		if rerr != nil {
			err = errors.Join(err, rerr)
			continue
		}
		out = append(out, r)
	}
	slices.SortStableFunc(out, func(a, b Record) int { return a.Created.Compare(b.Created) })
	return out, err
}
