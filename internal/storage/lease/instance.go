package lease

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// instanceFile is the name, in the state directory, of the file that holds INSTANCE.
const instanceFile = "instance"

// errInUse is what OpenInstance wraps when another process has the state directory.
var errInUse = errors.New("another sandbox is using the state directory")

// Instance is the random name of one state directory. A process that has the same one also has the
// same journal, so it may take its own lease back at once: a restarted container, a
// storage process that follows a killed one. flock(2) holds it: the kernel gives the lock
// back when the process dies, and at no other time.
type Instance struct {
	ID   string
	file *os.File
}

// OpenInstance reads INSTANCE from dir, or makes one, and locks it until Close. A directory that has none gets
// wanted, if that is not empty; one that has another is an error, since its journal is that one's.
//
// The file also says which inode it was written to. A copy of it (an image committed from a
// sandbox, a volume copied by hand) is another file and gets another INSTANCE: two
// sandboxes that began as one would otherwise take the lease from each other in turn.
func OpenInstance(dir, wanted string) (*Instance, error) {
	name := filepath.Join(dir, instanceFile)
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open the name of this instance: %w; check SANDBOX_STATE_DIR", err)
	}
	if err := flock(file); err != nil {
		file.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("cannot lock %s: %w; give each sandbox a state directory of its own", name, errInUse)
		}
		return nil, fmt.Errorf("cannot lock %s: %w", name, err)
	}
	id, err := readInstance(file)
	switch {
	case err != nil:
	case id == "":
		id, err = writeInstance(file, cmp.Or(wanted, newInstance()))
	case wanted != "" && wanted != id:
		err = fmt.Errorf("it is %s already, and SANDBOX_INSTANCE says %s; leave that out, or give the sandbox a new state directory", id, wanted)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("cannot keep the name of this instance in %s: %w", name, err)
	}
	return &Instance{ID: id, file: file}, nil
}

// Close gives up the lock; the name stays.
func (i *Instance) Close() error { return i.file.Close() }

func flock(file *os.File) error {
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err != unix.EINTR {
			return err
		}
	}
}

// readInstance returns "" when the file holds none of its own: empty, torn by a kill, copied.
func readInstance(file *os.File) (string, error) {
	content, err := io.ReadAll(io.NewSectionReader(file, 0, 4096))
	if err != nil {
		return "", err
	}
	self, err := inode(file)
	if err != nil {
		return "", err
	}
	id, rest, ok := strings.Cut(string(content), " ")
	if !ok || rest != self+"\n" || len(id) != 32 {
		return "", nil
	}
	return id, nil
}

func newInstance() string {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	return hex.EncodeToString(random[:])
}

func writeInstance(file *os.File, id string) (string, error) {
	self, err := inode(file)
	if err != nil {
		return "", err
	}
	if err := file.Truncate(0); err != nil {
		return "", err
	}
	if _, err := file.WriteAt([]byte(id+" "+self+"\n"), 0); err != nil {
		return "", err
	}
	return id, file.Sync()
}

// inode names the file itself: number and birth time (statx(2)). Not the device: an overlay
// gets another number each time its container starts.
func inode(file *os.File) (string, error) {
	var st unix.Statx_t
	if err := unix.Statx(int(file.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_INO|unix.STATX_BTIME, &st); err != nil {
		return "", fmt.Errorf("statx: %w", err)
	}
	return fmt.Sprintf("inode=%d born=%d.%09d", st.Ino, st.Btime.Sec, st.Btime.Nsec), nil
}
