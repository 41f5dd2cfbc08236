package journal

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/storage/reclog"
)

// log is the journal's file, which one process at a time has open, and what is known of its failures.
type log struct {
	path string
	lock *os.File
	rec  *reclog.Log // nil before read, and where the file is another format's

	live   int64 // what its size would be without stale records, roughly; bytes
	err    error // why the newest changes are not in it
	failed time.Time
}

var format = reclog.Format{
	Magic:     "sandbox journal 1\n",
	MaxRecord: 1 << 20, // a path is at most some KiB; more is garbage
	Reserve:   1 << 20, // some thousand records
}

func openLog(path string) (*log, error) {
	// The lock is a file of its own, since the log is replaced by rename.
	lock, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the journal: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("cannot open the journal %s: %w", path, errLocked)
		}
		return nil, fmt.Errorf("cannot lock the journal %s: %w", path, err)
	}
	return &log{path: path, lock: lock}, nil
}

// read hands out the payloads in order until apply returns false or a record is not
// whole, and cuts the file there. A file of another format has none: it is replaced as a whole.
func (l *log) read(apply func(payload []byte) bool) error {
	rec, err := reclog.Open(l.path, format, func(payload []byte) (bool, error) { return apply(payload), nil })
	if errors.Is(err, reclog.ErrForeign) {
		return nil
	}
	if err != nil {
		return err
	}
	l.rec, l.live = rec, rec.Size()
	return nil
}

// append writes one record. After a failure the record is in memory alone and the log
// is as it was before.
func (l *log) append(payload []byte) error {
	if err := l.rec.Append(payload); err != nil {
		return l.fail(err)
	}
	return nil
}

func (l *log) fail(err error) error {
	l.err = fmt.Errorf("cannot write the journal %s: %w; changes are still uploaded, but free some space, "+
		"else a crash makes conflict copies of them", l.path, err)
	l.failed = time.Now()
	return l.err
}

// replace writes a new log and renames it over the old one, which stays whole until then.
func (l *log) replace(fill func(put func(payload []byte) error) error) error {
	var err error
	if l.rec == nil {
		l.rec, err = reclog.Create(l.path, format, fill)
	} else {
		err = l.rec.Replace(fill)
	}
	if err != nil {
		return l.fail(err)
	}
	l.live, l.err = l.rec.Size(), nil
	return nil
}

func (l *log) size() int64 { return l.rec.Size() }

func (l *log) sync() error {
	if err := l.rec.Sync(); err != nil {
		return fmt.Errorf("cannot bring the journal %s to the disk: %w", l.path, err)
	}
	return nil
}

func (l *log) close() error {
	var err error
	if l.rec != nil {
		err = l.rec.Close()
	}
	return errors.Join(err, l.lock.Close())
}
