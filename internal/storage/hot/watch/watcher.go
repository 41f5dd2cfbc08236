// Package watch tells what happens in directories, in the order in which it happens.
//
// It is inotify(7) without a layer between: directories are watched by descriptor (through
// /proc/self/fd), so that no symbolic link that the workload puts into a path can lead a
// watch out of the home, and a directory that is renamed keeps its watch and gets its new
// path from [Dirs]. All directories share one queue, which is what makes the order of
// changes in different directories known.
//
// What the queue cannot tell: changes through a mapping of a file (the stat scan finds
// them), and what happened in a directory before its watch was set (so it is read after
// that). A queue that overflows says so, once, and has lost what followed.
package watch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLimit says that no more directories can be watched (fs.inotify.max_user_watches).
var ErrLimit = errors.New("the limit of inotify watches is reached")

// Op is what happened: IN_* of inotify(7).
type Op uint32

// The operations that Event has.
const (
	Create    Op = unix.IN_CREATE
	Modify    Op = unix.IN_MODIFY | unix.IN_CLOSE_WRITE
	Attrib    Op = unix.IN_ATTRIB
	Delete    Op = unix.IN_DELETE
	MovedFrom Op = unix.IN_MOVED_FROM
	MovedTo   Op = unix.IN_MOVED_TO
	SelfGone  Op = unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_UNMOUNT // of the watched directory itself
	Ignored   Op = unix.IN_IGNORED                                           // the watch is no more
	Overflow  Op = unix.IN_Q_OVERFLOW                                        // events were lost from here on
	IsDir     Op = unix.IN_ISDIR                                             // in addition: Name is a directory
)

const (
	mask = unix.IN_CREATE | unix.IN_MODIFY | unix.IN_CLOSE_WRITE | unix.IN_ATTRIB | unix.IN_DELETE |
		unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_ONLYDIR |
		unix.IN_EXCL_UNLINK // a deleted file that is still written to is no part of the home
	selfMask = unix.IN_DELETE_SELF | unix.IN_MOVE_SELF
)

// WD is a watch. Two watches of one directory are the same one.
type WD int32

// Event is one change in a watched directory.
type Event struct {
	WD     WD
	Op     Op
	Cookie uint32 // connects MovedFrom and MovedTo
	Name   string // empty for what concerns the directory itself or the queue
}

// Is tells whether the event is one of ops.
func (e Event) Is(ops Op) bool { return e.Op&ops != 0 }

// Watcher is one inotify instance. Add and Remove may be called at any time; Read by one
// goroutine.
type Watcher struct {
	file *os.File
	raw  syscall.RawConn
	buf  []byte
	mu   sync.Mutex // orders Wake's deadline and Read's reset of it
	woke bool
	shut bool
}

// New makes a Watcher. Its error says which limit is reached, if one is.
func New() (*Watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		if errors.Is(err, unix.EMFILE) {
			err = fmt.Errorf("%w; raise fs.inotify.max_user_instances", err)
		}
		return nil, fmt.Errorf("cannot watch the home: %w", err)
	}
	f := os.NewFile(uintptr(fd), "inotify") // polled, so that Read blocks no thread
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, err
	}
	// Some 2,000 events a call, a buffer that a full queue fills a few times.
	return &Watcher{file: f, raw: raw, buf: make([]byte, 64<<10)}, nil
}

// Close ends the watcher; a Read that waits returns os.ErrClosed.
func (w *Watcher) Close() error {
	w.mu.Lock()
	w.shut = true
	w.mu.Unlock()
	return w.file.Close()
}

func (w *Watcher) closed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.shut
}

// Add watches the directory behind a descriptor, which may be O_PATH and may be closed
// afterwards. self asks for SelfGone as well.
func (w *Watcher) Add(dir int, self bool) (WD, error) {
	m := uint32(mask)
	if self {
		m |= selfMask
	}
	var wd int
	var err error
	// The link of /proc leads to the open directory itself, under any name that it has by now.
	cerr := w.raw.Control(func(fd uintptr) {
		wd, err = unix.InotifyAddWatch(int(fd), "/proc/self/fd/"+strconv.Itoa(dir), m)
	})
	if err = errors.Join(cerr, err); err != nil {
		if errors.Is(err, unix.ENOSPC) {
			err = ErrLimit
		}
		return 0, err
	}
	return WD(wd), nil
}

// Remove ends a watch; events that are queued still come, and Ignored after them.
func (w *Watcher) Remove(wd WD) {
	_ = w.raw.Control(func(fd uintptr) { _, _ = unix.InotifyRmWatch(int(fd), uint32(wd)) })
}

// Wake makes a Read that waits, or else the next one, return without events.
func (w *Watcher) Wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.woke = true
	_ = w.file.SetReadDeadline(time.Unix(1, 0))
}

// Read hands over what is queued, up to a buffer full. With wait it first waits for events,
// Wake or Close. drained says that the queue was found empty: all that had happened when
// this Read was called has been handed over.
func (w *Watcher) Read(wait bool, yield func(Event)) (drained bool, err error) {
	w.mu.Lock()
	if w.woke {
		w.woke, wait = false, false
		_ = w.file.SetReadDeadline(time.Time{})
	}
	w.mu.Unlock()
	var n int
	var rerr error
	err = w.raw.Read(func(fd uintptr) bool {
		for {
			n, rerr = unix.Read(int(fd), w.buf)
			if rerr != unix.EINTR {
				break
			}
		}
		return rerr != unix.EAGAIN || !wait
	})
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), err == nil && rerr == unix.EAGAIN:
		return true, nil
	case err != nil && w.closed():
		return false, os.ErrClosed // package os has an error of its own here, which it keeps to itself
	case err != nil:
		return false, err
	case rerr != nil:
		return false, fmt.Errorf("cannot read what happened in the home: %w", rerr)
	}
	parse(w.buf[:n], yield)
	return false, nil
}

// parse walks struct inotify_event: wd, mask, cookie, len, then the name padded with NULs.
func parse(b []byte, yield func(Event)) {
	for len(b) >= unix.SizeofInotifyEvent {
		size := int(binary.NativeEndian.Uint32(b[12:]))
		if len(b) < unix.SizeofInotifyEvent+size {
			return
		}
		name := b[unix.SizeofInotifyEvent : unix.SizeofInotifyEvent+size]
		if end := bytes.IndexByte(name, 0); end >= 0 {
			name = name[:end]
		}
		yield(Event{
			WD:     WD(binary.NativeEndian.Uint32(b)),
			Op:     Op(binary.NativeEndian.Uint32(b[4:])),
			Cookie: binary.NativeEndian.Uint32(b[8:]),
			Name:   string(name),
		})
		b = b[unix.SizeofInotifyEvent+size:]
	}
}
