package hostd

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/versity/versitygw/backend/posix"
	"golang.org/x/sys/unix"
)

// quota bounds what the embedded S3 stores for a user: what a sandbox uploads is on this
// machine's disk. It counts blocks, the parts of uploads under way included, and leaves the
// file system a reserve under every limit. What it counts is measured when the sandbox is
// served and when the limit seems to be reached; in between writes are added and nothing is
// taken away. A write that is under way lies elsewhere until it is done, and is added to what is measured.
type quota struct {
	bucket string // its directory
	prefix string
	limit  int64

	mu       sync.Mutex
	used     int64
	underWay int64 // of used: writes that have not ended
	measured time.Time
	took     time.Duration
}

// leastRoom is what an object counts for at least: an empty one takes an inode and a name.
const leastRoom = 4 << 10

// defaultStore is the limit where the operator's limits.yaml names none.
const defaultStore = 64 << 30

// measureShare bounds what a sandbox at its limit makes the daemon count: a measurement is
// followed by a pause of so many times its own length.
const measureShare = 20

// room says why so many bytes may not be stored, or a copy of the object source. ended is called once the write has, or has failed.
func (q *quota) room(size int64, source string) (ended func(), err error) {
	if source != "" {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(q.bucket, source), &st); err == nil { // else the copy fails
			size = st.Blocks * 512
		}
	}
	size = max(size, leastRoom)
	var fsys unix.Statfs_t
	if err := unix.Statfs(q.bucket, &fsys); err == nil {
		total, free := int64(fsys.Blocks)*fsys.Bsize, int64(fsys.Bavail)*fsys.Bsize
		if reserve := min(total/50, 1<<30); free-size < reserve {
			return nil, fmt.Errorf("the disk of the embedded S3 is full but for its reserve of %d MB", reserve>>20)
		}
		if fsys.Files != 0 && fsys.Ffree < fsys.Files/50 { // 0: a file system without a fixed number
			return nil, fmt.Errorf("the disk of the embedded S3 has used up its inodes but for a reserve of %d", fsys.Files/50)
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.used+size > q.limit && time.Since(q.measured) > measureShare*q.took {
		q.measureLocked()
	}
	if q.used+size > q.limit {
		return nil, fmt.Errorf("the workspace has %d MB in the embedded S3, whose limit for a user is %d MB; remove files, or raise ceiling.store in limits.yaml", q.used>>20, q.limit>>20)
	}
	q.used += size
	q.underWay += size
	return func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.underWay -= size
	}, nil
}

// measure counts what there is.
func (q *quota) measure() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.measureLocked()
}

func (q *quota) measureLocked() {
	began := time.Now()
	q.used = q.underWay + blocks(filepath.Join(q.bucket, q.prefix))
	uploads := filepath.Join(q.bucket, posix.MetaTmpMultipartDir)
	keys, _ := os.ReadDir(uploads) // none yet
	for _, k := range keys {
		name := make([]byte, 1024) // the longest key
		n, err := unix.Lgetxattr(filepath.Join(uploads, k.Name()), "user.objname", name)
		if err == nil && strings.HasPrefix(string(name[:n]), q.prefix) {
			q.used += blocks(filepath.Join(uploads, k.Name()))
		}
	}
	q.measured, q.took = time.Now(), time.Since(began)
}

// blocks is the room that the files below a directory take. What goes meanwhile takes none.
func blocks(dir string) (sum int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // see above
		}
		if info, err := d.Info(); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				sum += max(st.Blocks*512, leastRoom)
			}
		}
		return nil
	})
	return sum
}
