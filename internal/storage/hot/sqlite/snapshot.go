package sqlite

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/sqlitefile"
	"github.com/matrx/sandbox/internal/threads"
)

const (
	// patience is how long a writer with a rollback journal may be kept waiting. What uses SQLite
	// usually waits for five seconds before it gives up.
	patience = 2 * time.Second

	// logPatience is how long checkpoints may be kept from a log, which grows meanwhile.
	logPatience = 30 * time.Second

	// busyWait is how long a transaction that is being written is waited for.
	busyWait = 2 * time.Second
)

// Snapshot is a database at one instant, under its locks.
type Snapshot struct {
	Stats Stats

	gate    threads.Gate
	dir     *tree.Dir
	name    string
	db      *os.File
	wal     *os.File
	shm     *os.File
	journal *os.File

	log    sqlitefile.Log
	header [sqlitefile.LogHeaderSize]byte
	byScan bool                 // the end of log is to be found in it
	frames uint32               // of log that are not in the database file
	back   *sqlitefile.Rollback // nil: there is nothing to roll back
	until  time.Time            // when the locks have to be given up
	locked bool
}

// Open takes the locks of the database name in d, of which db is the file. ErrBusy when they cannot
// be had; db is the caller's. The locks end with Close. Calls on files pass the gate; a caller that has a place
// there gives none.
func Open(ctx context.Context, d *tree.Dir, name string, db *os.File, gate threads.Gate) (*Snapshot, error) {
	s := &Snapshot{dir: d, name: name, db: db, gate: gate}
	err := patiently(ctx, time.Now().Add(busyWait), func() error {
		err := s.begin(ctx)
		if err != nil {
			s.Close()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Snapshot) begin(ctx context.Context) error {
	if err := s.lockAll(); err != nil {
		return err
	}
	if s.byScan {
		var err error
		s.frames, err = s.log.LastCommit(ctx, s.reads(s.wal), s.Stats.WAL.Size)
		return err
	}
	return nil
}

// lockAll takes the locks and finds out what there is, but for the end of a log that no process has open.
func (s *Snapshot) lockAll() error {
	s.gate.Enter()
	defer s.gate.Leave()
	if err := s.lock(lockShared(s.db)); err != nil {
		return err
	}
	s.until = time.Now().Add(patience)
	if err := s.openJournal(); err != nil {
		return err
	}
	if err := s.openLog(); err != nil {
		return err
	}
	// Only now: a checkpoint may have run until it was locked out.
	i, err := tree.Fstat(s.db.Fd())
	s.Stats.DB = i
	if i.Size == 0 {
		s.frames, s.byScan, s.back = 0, false, nil // SQLite throws away what lies beside an empty database
	}
	return err
}

// lock notes the result of taking locks. Where a kernel or a file system has none, the
// comparison at the end of a copy has to do.
func (s *Snapshot) lock(err error) error {
	s.locked = true
	for _, none := range []error{unix.EINVAL, unix.ENOSYS, unix.ENOLCK, unix.EOPNOTSUPP} {
		if errors.Is(err, none) && !errors.Is(err, ErrBusy) {
			s.locked = false
			return nil
		}
	}
	return err
}

// open opens a member that is there and not empty.
func (s *Snapshot) open(suffix string) (*os.File, journal.Stat, error) {
	if len(s.name)+len(suffix) > tree.NameMax {
		return nil, journal.Stat{}, nil
	}
	f, err := s.dir.Open(s.name + suffix)
	if isMissing(err) {
		return nil, journal.Stat{}, nil
	}
	if err != nil {
		return nil, journal.Stat{}, err
	}
	i, err := tree.Fstat(f.Fd())
	if err != nil || i.Size == 0 {
		f.Close()
		return nil, journal.Stat{}, err
	}
	return f, i.Stat, nil
}

// openJournal finds out whether there is a hot journal (hasHotJournal in pager.c).
func (s *Snapshot) openJournal() (err error) {
	if s.journal, s.Stats.Journal, err = s.open(sqlitefile.JournalSuffix); err != nil || s.journal == nil {
		return err
	}
	if s.locked {
		// Its transaction is alive, and has not written to the database: that would take an
		// exclusive lock.
		if alive, err := isLocked(s.db, span{reservedByte, 1}); err != nil || alive {
			return err
		}
	}
	back, ok, err := sqlitefile.OpenRollback(s.journal, s.Stats.Journal.Size)
	if err != nil || !ok {
		return err
	}
	super, err := back.SuperName()
	if err == nil && !s.isCommitted(super) {
		s.back = back
	}
	return err
}

// isCommitted tells whether a super-journal is gone, which commits the transaction. Only the
// database's own directory is looked at; elsewhere, where nothing of this home may look, it is taken
// for there, and the transaction is rolled back to a state that was once true.
func (s *Snapshot) isCommitted(super string) bool {
	dir, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(s.dir.Fd()))
	if super == "" || err != nil || filepath.Dir(super) != dir {
		return false
	}
	_, err = s.dir.Lstat(filepath.Base(super))
	return isMissing(err)
}

// openLog finds out how much of the log counts.
func (s *Snapshot) openLog() (err error) {
	if s.wal, _, err = s.open(sqlitefile.LogSuffix); err != nil || s.wal == nil {
		return err
	}
	if s.shm, _, err = s.open(sqlitefile.IndexSuffix); err != nil {
		return err
	}
	live := false
	if s.shm != nil && s.locked {
		if live, err = isLive(s.shm); err != nil {
			return err
		}
	}
	if live {
		if err := errors.Join(lock(s.shm, span{checkpointByte, 1}), lockReadMark(s.shm)); err != nil {
			return err
		}
		s.until = time.Now().Add(logPatience)
	}
	// Before it is read: what is written meanwhile makes it look older than what was read of it.
	i, err := tree.Fstat(s.wal.Fd())
	if err != nil {
		return err
	}
	s.Stats.WAL = i.Stat
	h, err := sqlitefile.Head(s.wal, sqlitefile.LogHeaderSize)
	if err != nil {
		return err
	}
	copy(s.header[:], h)
	log, ok := sqlitefile.ParseLog(h)
	s.log = log
	if live {
		return s.byIndex(ok)
	}
	s.byScan = ok
	return nil
}

// byIndex takes the end of the log from its index: what lies behind it may be overwritten.
func (s *Snapshot) byIndex(valid bool) error {
	x, ok, err := readIndex(s.shm)
	switch {
	case err != nil:
		return err
	case !ok:
		return ErrBusy // it is being changed
	case x.isInDatabase():
		return nil
	case !valid || x.salt != s.log.Salt || x.pageSize != s.log.PageSize:
		return ErrBusy // the log was begun anew between the two looks
	}
	s.frames = x.frames
	return nil
}

// Alone tells whether the database's file is the whole of it: there is nothing to apply and nothing
// to roll back.
func (s *Snapshot) Alone() bool { return s.frames == 0 && s.back == nil }

// unlock gives the locks up.
func (s *Snapshot) unlock() {
	if s.locked {
		_ = unlockShared(s.db)                            // fails only where locking did
		_ = unlock(s.db, span{sqlitefile.PendingByte, 1}) // left behind where the second step failed
		_ = s.closeAll(&s.shm)                            // its locks end with it
		s.locked = false
	}
}

// Close gives the locks up and lets the members go.
func (s *Snapshot) Close() error {
	s.unlock()
	s.frames, s.byScan, s.back = 0, false, nil
	return s.closeAll(&s.wal, &s.shm, &s.journal)
}

func (s *Snapshot) closeAll(files ...**os.File) (err error) {
	for _, f := range files {
		if *f != nil {
			err = errors.Join(err, (*f).Close())
			*f = nil
		}
	}
	return err
}
