// Package upload makes S3 agree with the home about one name: it writes a file, a symbolic
// link or a directory's marker, or deletes its object. What goes when is package queue's.
//
// # Promises
//
//   - What is stored is one version of the file (package stable). When content and
//     attributes are what S3 holds already, nothing is sent.
//   - Every write and delete passes the fence and is conditional on the version that the
//     journal knows. Before it is sent the journal has its id, so that a write whose answer
//     was lost is known again, by this process or the next.
//     An attempt that was not answered may arrive long after it, even when a later
//     one was stored or the file was deleted: its id is kept for that.
//   - On a failed condition S3 is asked what is there. Our own write: its version is taken
//     over. The same content: adopted. Else another client wrote: theirs keeps the key, the local
//     file becomes NAME.conflict-SANDBOX_ID-TIME, and theirs is fetched to NAME.
//   - A file that was renamed is copied inside S3 when its content, hashed anew, is that of an
//     object about to be deleted; one of which only the attributes changed, onto itself.
//   - Right before an object is deleted, the disk is looked at again: it goes only when its
//     name is missing from a directory that could be searched, on the root's device and mount,
//     below the root that was hydrated.
package upload

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"math"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/storage/hot/fetch"
	"github.com/matrx/sandbox/internal/storage/hot/ignore"
	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/queue"
	"github.com/matrx/sandbox/internal/storage/hot/stable"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/lease"
	"github.com/matrx/sandbox/internal/storage/objectstore"
)

// Options are what a Sender works with.
type Options struct {
	Store     *objectstore.Store
	Fence     lease.Fence
	Root      *tree.Root
	Journal   *journal.Journal
	Fetch     *fetch.Fetcher
	Prefix    string // the hot prefix
	SandboxID string
	TempDir   string // for copies of files that never rest
	Log       *slog.Logger

	// Remember is told how each writing of the journal went. A journal that cannot be written
	// stops nothing: S3 has what matters, and memory the rest.
	Remember func(error)
	// Rules are the present ones.
	Rules func() *ignore.Rules
	// Moved finds an object that is about to be deleted whose file had this inode.
	Moved func(ino uint64) (journal.Entry, bool)
	// Before returns when what has to be in S3 before a file is. The file's version is fixed
	// by then.
	Before func(ctx context.Context, path string) error
	// Now is the wall clock; nil: time.Now.
	Now func() time.Time
}

// Sender is safe for concurrent use, for different names.
type Sender struct {
	Options
	rootDev uint64
	large   chan struct{} // a place for each large upload
	way     way
	moving  sync.Map  // paths of databases' conflict copies in the making: a log beside one is no file of its own
	linked  sync.Once // hard links were said to be files of their own
	buffers sync.Pool
}

const (
	// small files are read into memory, from which they are hashed and sent.
	small = 64 << 10

	// LargeSize is the size above which an upload sends several parts at a time, LargeMost how many of those fill
	// a network.
	LargeSize = 16 << 20
	LargeMost = 2

	// copyMost is the size up to which a file that changes while it is read is copied at once.
	// A larger one is first waited for.
	copyMost = 64 << 20
)

// New makes a Sender.
func New(o Options) (*Sender, error) {
	i, err := o.Root.Lstat("")
	if err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Sender{
		Options: o, rootDev: i.Dev, large: make(chan struct{}, LargeMost),
		way:     way{names: map[string]bool{}},
		buffers: sync.Pool{New: func() any { b := make([]byte, small); return &b }},
	}, nil
}

// Blame is what an error may be about. Only the fate of other names tells more.
type Blame uint8

// What an error may be about.
const (
	ThisName   Blame = iota // this name alone
	MaybeStore              // this name, or the store as a whole: it gave no answer of its own
	StoreWide               // by its nature every name: expired credentials, a lost lease
)

// Result is what became of a name.
type Result struct {
	Outcome queue.Outcome
	Err     error // why it is not stored; nil when it is

	Blame     Blame  // what Err may be about
	NotAtRest bool   // no whole version of the file was found
	BlockedBy string // the path of what S3 holds and has to lose first: look there, then try Force
	WaitsFor  string // the name whose object has to be stored or deleted first
	Mounted   bool   // something is mounted over the name: the file there is not the home's
	HeldBack  bool   // the root is not what it was: nothing is deleted

	Sent    bool     // something was written to S3
	Bytes   int64    // of content that was uploaded
	Racy    bool     // compare the file once more, see stable.Source
	Recheck []string // paths to be looked at: they are not what was expected, or were made here

	Ino      uint64 // of the file that the job was about; 0 when it has read none
	Conflict string // the path of a conflict copy that was made
}

// How says how a file is to be read.
type How struct {
	Quiesced bool // no process is left that could write
	Unstable bool // it was not at rest several times: copy it, however large it is
	Force    bool // what was in its way was looked at, and may stay in S3
}

// Do brings one name to S3.
func (s *Sender) Do(ctx context.Context, kind queue.Kind, name string, how How) Result {
	if kind == queue.Delete {
		return s.remove(ctx, name)
	}
	path, isDir := strings.CutSuffix(name, "/")
	if s.Rules().Match(path, isDir) {
		return Result{Outcome: queue.Stored} // left out since it was observed
	}
	if isDir {
		return s.marker(ctx, path, how)
	}
	return s.file(ctx, path, how)
}

// open opens a file's present version. The buffer goes back with release.
func (s *Sender) open(ctx context.Context, d *tree.Dir, name string, how How) (src *stable.Source, release func(), err error) {
	buf := s.buffers.Get().(*[]byte)
	o := stable.Options{
		Small: small, Buffer: func(n int) []byte { return (*buf)[:n] },
		TempDir: s.TempDir, CopyMost: copyMost, Quiesced: how.Quiesced, Now: s.Now,
	}
	if how.Unstable {
		o.CopyMost = math.MaxInt64
	}
	src, err = stable.Open(ctx, d, name, o)
	return src, func() {
		if src != nil {
			src.Close()
		}
		s.buffers.Put(buf)
	}, err
}

// changed is the result when the disk is not what the name was noted for.
func changed(path string) Result { return Result{Outcome: queue.Changed, Recheck: []string{path}} }

// errOther is why a file or a directory is not stored where the other was.
var errOther = errors.New("what had its name is still in S3, and cannot be deleted")

// takesPlace is the result of a file's write where S3 still holds a directory's marker, or the reverse.
func takesPlace(path, other string) Result {
	return Result{Outcome: queue.Changed, Recheck: []string{path}, WaitsFor: other, Err: errOther}
}

// local is the result of a local error.
func local(path string, err error) Result {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP),
		errors.Is(err, tree.ErrNotRegular), errors.Is(err, tree.ErrChanged), errors.Is(err, unix.ESTALE):
		return changed(path)
	case errors.Is(err, tree.ErrMounted):
		return Result{Outcome: queue.Stored, Mounted: true} // left out since it was observed
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Result{Outcome: queue.Retry, Err: err}
	}
	return Result{Outcome: queue.Stuck, Err: err}
}

// remote is the result of an error of the store or the fence.
func remote(ctx context.Context, err error) Result {
	for _, wide := range []error{
		lease.ErrLost, lease.ErrReleased, objectstore.ErrExpiredCredentials, objectstore.ErrBadCredentials,
		objectstore.ErrNoBucket, objectstore.ErrWrongRegion, objectstore.ErrClockSkew,
	} {
		if errors.Is(err, wide) {
			return Result{Outcome: queue.Retry, Err: err, Blame: StoreWide}
		}
	}
	if errors.Is(err, objectstore.ErrUnavailable) || errors.Is(err, objectstore.ErrEndpoint) {
		return Result{Outcome: queue.Retry, Err: err, Blame: MaybeStore}
	}
	if errors.Is(err, lease.ErrInDoubt) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
		return Result{Outcome: queue.Retry, Err: err}
	}
	return Result{Outcome: queue.Stuck, Err: err}
}
