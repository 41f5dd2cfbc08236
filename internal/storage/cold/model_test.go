package cold_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/storage/cold"
	"github.com/matrx/sandbox/internal/storage/posixattr"
	"github.com/matrx/sandbox/internal/testbed"
)

// item is a file, directory or link of the model.
type item struct {
	dir   map[string]*item // nil: not a directory
	link  string
	data  []byte
	mode  os.FileMode
	mtime time.Time // zero: not set on purpose

	displaced string // the name at which others replaced it while it is open
	from      *item  // and the directory
}

// model does to a tree in memory what it does to the mount, and compares the two.
type model struct {
	t    *testing.T
	b    *bed
	r    *rand.Rand
	root *item
	open []*openItem
	step int
	last []string // the newest operations
	big  int64    // the largest file
	most int      // entries of the tree

	others bool // another client writes to S3 as well

	ballast string // where a file fills the disk now and then; empty: nowhere
}

type openItem struct {
	f *os.File
	i *item
}

// operations are what may happen, and how often out of their sum.
var operations = []struct {
	weight int
	do     func(*model)
}{
	{14, (*model).create}, {22, (*model).write}, {22, (*model).read}, {6, (*model).truncate},
	{5, (*model).mkdir}, {6, (*model).unlink}, {2, (*model).rmdir}, {9, (*model).rename},
	{3, (*model).symlink}, {4, (*model).chmod}, {3, (*model).utimes}, {4, (*model).openFile},
	{6, (*model).writeOpen}, {6, (*model).readOpen}, {4, (*model).closeFile}, {3, (*model).list},
	{2, (*model).fsync}, {3, (*model).replace}, {2, (*model).mapRead}, {2, (*model).mapWrite},
}

func (m *model) run(steps int) {
	sum := 0
	for _, o := range operations {
		sum += o.weight
	}
	for end := m.step + steps; m.step < end && !m.t.Failed(); m.step++ {
		if all := m.paths(func(i *item) bool { return i != m.root }); len(all) > m.most {
			m.removeAll(all[m.r.IntN(len(all))])
			continue
		}
		if m.ballast != "" && m.r.IntN(12) == 0 {
			m.toggleDisk()
		}
		if m.others && m.r.IntN(12) == 0 {
			m.theirs()
			continue
		}
		n := m.r.IntN(sum)
		for _, o := range operations {
			if n -= o.weight; n < 0 {
				o.do(m)
				break
			}
		}
	}
}

func (m *model) say(format string, a ...any) {
	m.last = append(m.last, fmt.Sprintf("%d: ", m.step)+fmt.Sprintf(format, a...))
	m.last = m.last[max(0, len(m.last)-40):]
}

func (m *model) fatal(format string, a ...any) {
	m.t.Helper()
	m.t.Fatalf("%s\nafter:\n%s", fmt.Sprintf(format, a...), strings.Join(m.last, "\n"))
}

// want fails the test unless err is the errno (0: none).
func (m *model) want(err error, want syscall.Errno) bool {
	m.t.Helper()
	var got syscall.Errno
	if err != nil && !errors.As(err, &got) {
		m.fatal("%v", err)
	}
	if m.ballast != "" && got == syscall.ENOSPC && want == 0 {
		return false
	}
	if got != want {
		m.fatal("%v (%d), not %v", err, got, want)
	}
	return got == 0
}

func (m *model) at(p string) *item {
	i := m.root
	for _, c := range strings.Split(p, "/") {
		if c == "" {
			continue
		}
		if i == nil || i.dir == nil {
			return nil
		}
		i = i.dir[c]
	}
	return i
}

// paths gives all paths of a kind, sorted, so that a seed means the same run each time.
func (m *model) paths(match func(*item) bool) []string {
	var all []string
	var walk func(p string, i *item)
	walk = func(p string, i *item) {
		if match(i) {
			all = append(all, p)
		}
		for _, n := range slices.Sorted(maps.Keys(i.dir)) {
			walk(path.Join(p, n), i.dir[n])
		}
	}
	walk("", m.root)
	return all
}

func isDir(i *item) bool  { return i.dir != nil }
func isFile(i *item) bool { return i.dir == nil && i.link == "" }

func (m *model) pick(match func(*item) bool) (string, *item) {
	all := m.paths(match)
	if len(all) == 0 {
		return "", nil
	}
	p := all[m.r.IntN(len(all))]
	return p, m.at(p)
}

// name is a path in some directory: mostly free, now and then taken.
func (m *model) name() (string, *item, string) {
	d, dir := m.pick(isDir)
	n := fmt.Sprintf("%c%d", 'a'+m.r.IntN(3), m.r.IntN(12))
	if m.r.IntN(20) == 0 {
		n = []string{"blank and ü", "per%cent%20", "new\nline", "\xff\xfe", "-dash", "quote'\"", "~tilde"}[m.r.IntN(7)]
	}
	return path.Join(d, n), dir, n
}

func (m *model) content() []byte {
	n := m.r.Int64N(3000)
	switch m.r.IntN(12) {
	case 0:
		n = 0
	case 1, 2:
		n = m.r.Int64N(m.big)
	}
	b := make([]byte, n)
	s := m.r.Uint64()
	rand.NewChaCha8([32]byte{byte(s), byte(s >> 8), byte(s >> 16), byte(s >> 24)}).Read(b)
	return b
}

func (m *model) create() {
	p, dir, n := m.name()
	old := dir.dir[n]
	b := m.content()
	flags := os.O_WRONLY | os.O_CREATE
	excl, trunc := m.r.IntN(4) == 0, m.r.IntN(2) == 0
	if excl {
		flags |= os.O_EXCL
	}
	if trunc {
		flags |= os.O_TRUNC
	}
	m.say("create %q excl=%v trunc=%v %d bytes", p, excl, trunc, len(b))
	f, err := os.OpenFile(m.b.path(p), flags, 0o640)
	switch {
	case old != nil && excl:
		m.want(err, syscall.EEXIST)
		return
	case old != nil && old.dir != nil:
		m.want(err, syscall.EISDIR)
		return
	case old != nil && old.link != "":
		if err == nil { // through the link; the model does not follow them
			f.Close()
			m.fatal("%q is a link to nothing and was created", p)
		}
		return
	}
	if !m.want(err, 0) {
		if _, err := os.Lstat(m.b.path(p)); err == nil && old == nil { // it was made, and not opened
			dir.dir[n] = &item{mode: 0o640}
		}
		return
	}
	if old == nil {
		old = &item{mode: 0o640}
		dir.dir[n] = old
	} else if trunc {
		old.data, old.mtime = nil, time.Time{}
	}
	m.put(f, old, b, 0)
	m.want(f.Close(), 0)
}

// put writes in pieces.
func (m *model) put(f *os.File, i *item, b []byte, off int64) {
	for rest := b; len(rest) > 0; {
		n := min(len(rest), 1+m.r.IntN(200_000))
		got, err := pwrite(f, rest[:n], off)
		full := m.ballast != "" && errors.Is(err, syscall.ENOSPC)
		if !full && (got != n || err != nil) {
			m.fatal("wrote %d of %d: %v", got, n, err)
		}
		if n = got; n == 0 {
			return
		}
		if grow := off + int64(n) - int64(len(i.data)); grow > 0 {
			i.data = append(i.data, make([]byte, grow)...)
		}
		copy(i.data[off:], rest[:n])
		i.mtime = time.Time{}
		if rest, off = rest[n:], off+int64(n); full {
			return
		}
	}
}

// pwrite is os.File.WriteAt, which does not say how much it wrote when that is not all.
func pwrite(f *os.File, b []byte, off int64) (n int, err error) {
	for n < len(b) {
		m, err := unix.Pwrite(int(f.Fd()), b[n:], off+int64(n))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return n, err
		}
		n += m
	}
	return n, nil
}

func (m *model) offset(i *item) int64 {
	if m.r.IntN(3) == 0 {
		return int64(len(i.data))
	}
	return m.r.Int64N(int64(len(i.data)) + 2000)
}

func (m *model) write() {
	p, i := m.pick(isFile)
	if i == nil {
		return
	}
	b, off := m.content(), m.offset(i)
	if int64(len(b))+off > 2*m.big {
		return
	}
	m.say("write %q %d at %d of %d", p, len(b), off, len(i.data))
	f, err := os.OpenFile(m.b.path(p), os.O_RDWR, 0)
	if !m.want(err, 0) {
		return
	}
	m.put(f, i, b, off)
	m.want(f.Close(), 0)
}

func (m *model) read() {
	p, i := m.pick(isFile)
	if i == nil {
		return
	}
	m.say("read %q of %d", p, len(i.data))
	f, err := os.Open(m.b.path(p))
	if !m.want(err, 0) {
		return
	}
	m.compare(p, f, i)
	f.Close()
}

func (m *model) compare(p string, f *os.File, i *item) {
	if len(i.data) > 0 && m.r.IntN(2) == 0 {
		off := m.r.Int64N(int64(len(i.data)))
		b := make([]byte, 1+m.r.IntN(5000))
		n, err := f.ReadAt(b, off)
		want := i.data[off:min(off+int64(len(b)), int64(len(i.data)))]
		if err != nil && err != io.EOF || !bytes.Equal(b[:n], want) {
			m.fatal("%q at %d reads %d bytes, not %d, or others: %v", p, off, n, len(want), err)
		}
		return
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<40))
	if err != nil || !bytes.Equal(b, i.data) {
		m.fatal("%q reads %d bytes, not the %d that are there, or others (first difference at %d): %v", p, len(b), len(i.data), differ(b, i.data), err)
	}
}

func differ(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

func (m *model) truncate() {
	p, i := m.pick(isFile)
	if i == nil {
		return
	}
	size := m.r.Int64N(int64(len(i.data)) + 3000)
	m.say("truncate %q from %d to %d", p, len(i.data), size)
	if m.want(os.Truncate(m.b.path(p), size), 0) {
		i.data = append(i.data[:min(size, int64(len(i.data)))], make([]byte, max(0, size-int64(len(i.data))))...)
		i.mtime = time.Time{}
	}
}

func (m *model) mkdir() {
	p, dir, n := m.name()
	if strings.Count(p, "/") > 4 {
		return
	}
	m.say("mkdir %q", p)
	err := os.Mkdir(m.b.path(p), 0o750)
	if dir.dir[n] != nil {
		m.want(err, syscall.EEXIST)
	} else if m.want(err, 0) {
		dir.dir[n] = &item{dir: map[string]*item{}, mode: 0o750 | os.ModeDir}
	}
}

func (m *model) unlink() {
	p, dir, n := m.name()
	if m.r.IntN(2) == 0 {
		if p, _ = m.pick(func(i *item) bool { return !isDir(i) }); p == "" {
			return
		}
		dir, n = m.at(path.Dir("/"+p)), path.Base(p)
	}
	m.say("unlink %q", p)
	err := syscall.Unlink(m.b.path(p))
	switch i := dir.dir[n]; {
	case i == nil:
		m.want(err, syscall.ENOENT)
	case i.dir != nil:
		m.want(err, syscall.EISDIR)
	default:
		if m.want(err, 0) {
			delete(dir.dir, n)
		}
	}
}

func (m *model) rmdir() {
	p, i := m.pick(isDir)
	if p == "" {
		return
	}
	m.say("rmdir %q", p)
	err := syscall.Rmdir(m.b.path(p))
	if len(i.dir) > 0 {
		m.want(err, syscall.ENOTEMPTY)
	} else if m.want(err, 0) {
		delete(m.at(path.Dir("/"+p)).dir, path.Base(p))
	}
}

func (m *model) removeAll(p string) {
	m.say("remove all of %q", p)
	if err := os.RemoveAll(m.b.path(p)); err != nil {
		m.fatal("%v", err)
	}
	delete(m.at(path.Dir("/"+p)).dir, path.Base(p))
}

func (m *model) rename() {
	from, i := m.pick(func(i *item) bool { return i != m.root })
	if i == nil {
		return
	}
	to, dir, n := m.name()
	m.say("rename %q to %q", from, to)
	err := syscall.Rename(m.b.path(from), m.b.path(to))
	old := dir.dir[n]
	switch {
	case to == from:
		m.want(err, 0)
		return
	case i.dir != nil && strings.HasPrefix(to+"/", from+"/"):
		m.want(err, syscall.EINVAL)
		return
	case old != nil && i.dir != nil && old.dir == nil:
		m.want(err, syscall.ENOTDIR)
		return
	case old != nil && old.dir != nil && strings.HasPrefix(from+"/", to+"/"):
		m.want(err, syscall.ENOTEMPTY)
		return
	case old != nil && i.dir == nil && old.dir != nil:
		m.want(err, syscall.EISDIR)
		return
	case old != nil && len(old.dir) > 0:
		m.want(err, syscall.ENOTEMPTY)
		return
	}
	if m.want(err, 0) {
		delete(m.at(path.Dir("/"+from)).dir, path.Base(from))
		dir.dir[n] = i
	}
}

// replace writes a new file and renames it over another, as editors do.
func (m *model) replace() {
	p, i := m.pick(isFile)
	if i == nil {
		return
	}
	m.say("replace %q", p)
	b := m.content()
	dir, name := m.at(path.Dir("/"+p)), path.Base(p)
	f, err := os.OpenFile(m.b.path(p+"~"), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	n := dir.dir[name+"~"] // of a replacement that was refused
	if !m.want(err, 0) {
		if _, err := os.Lstat(m.b.path(p + "~")); err == nil && n == nil { // it was made, and not opened
			dir.dir[name+"~"] = &item{mode: 0o600}
		}
		return
	}
	if n == nil {
		n = &item{mode: 0o600}
		dir.dir[name+"~"] = n
	}
	n.data, n.mtime = nil, time.Time{}
	m.put(f, n, b, 0)
	m.want(f.Close(), 0)
	if m.want(syscall.Rename(m.b.path(p+"~"), m.b.path(p)), 0) {
		delete(dir.dir, name+"~")
		dir.dir[name] = n
	}
}

func (m *model) symlink() {
	p, dir, n := m.name()
	target := fmt.Sprintf("nowhere/%d", m.r.IntN(1000))
	m.say("symlink %q", p)
	err := os.Symlink(target, m.b.path(p))
	if dir.dir[n] != nil {
		m.want(err, syscall.EEXIST)
	} else if m.want(err, 0) {
		dir.dir[n] = &item{link: target, mode: 0o777 | os.ModeSymlink}
	}
}

func (m *model) chmod() {
	p, i := m.pick(func(i *item) bool { return i.link == "" && i != m.root })
	if i == nil {
		return
	}
	mode := os.FileMode(m.r.IntN(0o1000)) | 0o600
	m.say("chmod %q %o", p, mode)
	if m.want(os.Chmod(m.b.path(p), mode), 0) {
		i.mode = i.mode&os.ModeType | mode
	}
}

func (m *model) utimes() {
	p, i := m.pick(isFile)
	if i == nil {
		return
	}
	at := time.Unix(m.r.Int64N(1<<32)-(1<<30), m.r.Int64N(1e9))
	m.say("utimes %q %v", p, at)
	if m.want(os.Chtimes(m.b.path(p), at, at), 0) {
		i.mtime = at
	}
}

func (m *model) openFile() {
	p, i := m.pick(isFile)
	if i == nil || len(m.open) > 6 {
		return
	}
	m.say("open %q", p)
	f, err := os.OpenFile(m.b.path(p), os.O_RDWR, 0)
	if m.want(err, 0) {
		m.open = append(m.open, &openItem{f, i})
	}
}

func (m *model) pickOpen() *openItem {
	if len(m.open) == 0 {
		return nil
	}
	return m.open[m.r.IntN(len(m.open))]
}

// writeOpen writes to a file that may have been renamed or removed since it was opened.
func (m *model) writeOpen() {
	o := m.pickOpen()
	if o == nil || m.writeDisplaced(o) {
		return
	}
	b, off := m.content(), m.offset(o.i)
	if int64(len(b))+off > 2*m.big {
		return
	}
	m.say("write to open %s, %d at %d", o.f.Name(), len(b), off)
	m.put(o.f, o.i, b, off)
}

func (m *model) readOpen() {
	if o := m.pickOpen(); o != nil && !m.readDisplaced(o) {
		m.say("read open %s", o.f.Name())
		m.compare(o.f.Name(), o.f, o.i)
	}
}

func (m *model) closeFile() {
	if o := m.pickOpen(); o != nil {
		m.say("close %s", o.f.Name())
		m.want(o.f.Close(), 0)
		m.open = slices.DeleteFunc(m.open, func(x *openItem) bool { return x == o })
	}
}

func (m *model) closeAll() {
	for len(m.open) > 0 {
		m.closeFile()
	}
}

func (m *model) fsync() {
	if o := m.pickOpen(); o != nil {
		m.say("fsync %s", o.f.Name())
		m.want(o.f.Sync(), 0)
	}
}

// mapRead compares a file with its mapping.
func (m *model) mapRead() {
	o := m.pickOpen()
	if o == nil || len(o.i.data) == 0 || o.i.displaced != "" {
		return
	}
	m.say("map %s of %d", o.f.Name(), len(o.i.data))
	b, err := unix.Mmap(int(o.f.Fd()), 0, len(o.i.data), unix.PROT_READ, unix.MAP_SHARED)
	if !m.want(err, 0) {
		return
	}
	if !bytes.Equal(b, o.i.data) {
		m.fatal("%s differs from its mapping at %d", o.f.Name(), differ(b, o.i.data))
	}
	m.want(unix.Munmap(b), 0)
}

// mapWrite changes a file through a mapping.
func (m *model) mapWrite() {
	o := m.pickOpen()
	if o == nil || len(o.i.data) == 0 || o.i.displaced != "" || m.ballast != "" {
		return // a page that finds no room stays in the kernel, which tells msync alone
	}
	off := m.r.IntN(len(o.i.data))
	n := min(1+m.r.IntN(5000), len(o.i.data)-off)
	m.say("write to the mapping of %s, %d at %d of %d", o.f.Name(), n, off, len(o.i.data))
	b, err := unix.Mmap(int(o.f.Fd()), 0, len(o.i.data), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if !m.want(err, 0) {
		return
	}
	for i := off; i < off+n; i++ {
		b[i] ^= 0x5a
	}
	m.want(unix.Msync(b, unix.MS_SYNC), 0)
	m.want(unix.Munmap(b), 0)
	for i := off; i < off+n; i++ {
		o.i.data[i] ^= 0x5a
	}
	o.i.mtime = time.Time{}
}

func (m *model) list() {
	p, i := m.pick(isDir)
	m.say("list %q", p)
	entries, err := os.ReadDir(m.b.path(p))
	if !m.want(err, 0) {
		return
	}
	if got, want := names(entries), slices.Sorted(maps.Keys(i.dir)); !slices.Equal(got, want) {
		m.fatal("%q lists\n%q, not\n%q", p, got, want)
	}
}

// names are those of entries, but for the embedded server's own temporary files, which it lists as
// objects while they are written and after a client that has gone.
func names(entries []os.DirEntry) []string {
	var all []string
	for _, e := range entries {
		if !strings.Contains(e.Name(), ".sgwtmp.") {
			all = append(all, e.Name())
		}
	}
	return all
}

// check compares all of the tree.
func (m *model) check() {
	m.t.Helper()
	var walk func(p string, i *item)
	walk = func(p string, i *item) {
		info, err := os.Lstat(m.b.path(p))
		if err != nil {
			m.fatal("%q: %v", p, err)
		}
		// The index of attributes may have had no room: they show when the file is opened.
		known := m.ballast == ""
		if p != "" && known && info.Mode() != i.mode {
			m.fatal("%q has mode %v, not %v", p, info.Mode(), i.mode)
		}
		if known && !i.mtime.IsZero() && !info.ModTime().Equal(i.mtime) {
			m.fatal("%q has mtime %v, not %v", p, info.ModTime(), i.mtime)
		}
		switch {
		case i.link != "":
			got, err := os.Readlink(m.b.path(p))
			if !known && errors.Is(err, syscall.EINVAL) { // a file until it is opened
				if f, err := os.Open(m.b.path(p)); err == nil {
					f.Close()
				}
				got, err = os.Readlink(m.b.path(p))
			}
			if err != nil || got != i.link {
				m.fatal("%q points to %q, not %q: %v", p, got, i.link, err)
			}
		case i.dir == nil:
			b, err := os.ReadFile(m.b.path(p))
			if err != nil || !bytes.Equal(b, i.data) {
				m.fatal("%q has %d bytes, not the %d that are there, or others (first difference at %d): %v", p, len(b), len(i.data), differ(b, i.data), err)
			}
			if info.Size() != int64(len(i.data)) {
				m.fatal("%q has size %d, not %d", p, info.Size(), len(i.data))
			}
		default:
			entries, err := os.ReadDir(m.b.path(p))
			if err != nil {
				m.fatal("%q: %v", p, err)
			}
			if got, want := names(entries), slices.Sorted(maps.Keys(i.dir)); !slices.Equal(got, want) {
				m.fatal("%q lists\n%q, not\n%q", p, got, want)
			}
			for n, c := range i.dir {
				walk(path.Join(p, n), c)
			}
		}
	}
	walk("", m.root)
}

// checkS3 compares what is in S3 with the model.
func (m *model) checkS3() {
	m.t.Helper()
	m.b.sync()
	objects := m.b.bucket.Objects(keys)
	for _, p := range m.paths(func(i *item) bool { return i != m.root }) {
		i := m.at(p)
		key, err := cold.KeyOf(p)
		if err != nil {
			m.t.Fatal(err)
		}
		if i.dir != nil {
			if _, ok := objects[keys+key+"/"]; !ok {
				m.fatal("%q has no marker in S3", p)
			}
			delete(objects, keys+key+"/")
			continue
		}
		o, ok := objects[keys+key]
		want := string(i.data) + i.link
		if !ok || string(o.Body) != want {
			m.fatal("%q is not in S3 as it is here: there %v, %d bytes, not %d", p, ok, len(o.Body), len(want))
		}
		a, err := posixattr.Decode(o.Metadata, time.Time{}, false)
		if err != nil || os.FileMode(a.Perm()) != i.mode.Perm() || (a.Type() == posixattr.TypeSymlink) != (i.link != "") {
			m.fatal("%q has mode %o in S3, not %v: %v", p, a.Mode, i.mode, err)
		}
		if !i.mtime.IsZero() && a.Mtime != i.mtime.UnixNano() {
			m.fatal("%q has mtime %d in S3, not %v", p, a.Mtime, i.mtime)
		}
		delete(objects, keys+key)
	}
	maps.DeleteFunc(objects, func(k string, _ testbed.Stored) bool { return strings.Contains(k, ".sgwtmp.") })
	if len(objects) > 0 {
		m.fatal("S3 has what was deleted: %q", slices.Sorted(maps.Keys(objects)))
	}
}

// dropCaches has the kernel forget what it cached of the mount.
func (m *model) dropCaches() {
	unix.Sync()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("2"), 0); err != nil {
		m.t.Logf("cannot drop the kernel's caches: %v", err)
	}
}

// newModel prints its seed; COLD_TEST_SEED repeats a run, as far as the timing of uploads allows.
func newModel(t *testing.T, opts ...option) *model {
	seed := rand.Uint64()
	if s := os.Getenv("COLD_TEST_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("COLD_TEST_SEED=%s: %v", s, err)
		}
	}
	t.Logf("COLD_TEST_SEED=%d repeats this", seed)
	b := newBed(t, opts...)
	return &model{
		t: t, b: b, r: rand.New(rand.NewPCG(seed, 9)), big: 400_000, most: 150,
		root: &item{dir: map[string]*item{}, mode: 0o755 | os.ModeDir},
	}
}

// rounds runs operations with an event after each part of them.
func (m *model) rounds(steps, part int, event func(round int)) {
	for round := 0; m.step < steps; round++ {
		m.run(part)
		event(round)
		m.check()
	}
	m.closeAll()
	m.checkS3()
	m.b.stop()
	m.b.start()
	m.check()
}

// The following are 100,000 operations together with the build tag long, and a part of them without.

func TestModel(t *testing.T) {
	t.Parallel()
	m := newModel(t)
	m.rounds(55_000/part, 2500/part, func(round int) {
		if round%4 == 3 {
			m.checkS3()
		}
	})
}

// TestModelRelisted has everything looked up in S3 again and again.
func TestModelRelisted(t *testing.T) {
	t.Parallel()
	m := newModel(t, ttl(0), quiet(time.Millisecond))
	m.rounds(3000/part, 500/part, func(round int) { m.dropCaches() })
}

// TestModelKilled has the process killed in the midst of its uploads, with a cache that is too
// small for all of it.
func TestModelKilled(t *testing.T) {
	t.Parallel()
	m := newModel(t, cacheMax(24<<20), quiet(time.Millisecond))
	m.rounds(27_000/part, 600, func(round int) {
		m.closeAll()
		m.say("kill")
		m.b.kill()
		m.b.start()
	})
}

// TestModelUnreliable has requests refused, cut off, and their answers lost.
func TestModelUnreliable(t *testing.T) {
	t.Parallel()
	m := newModel(t, throughProxy, quiet(time.Millisecond), patience(60*time.Second))
	faults := []testbed.Action{
		testbed.Refuse(503, "SlowDown"), testbed.ResetBefore(), testbed.LoseAnswer(), testbed.ResetResponse(100),
		testbed.Refuse(500, "InternalError"), testbed.ResetRequest(50), testbed.Truncate(70),
	}
	m.rounds(15_000/part, 250, func(round int) {
		m.b.proxy.ClearFaults()
		for n := range 3 {
			m.b.proxy.Add(testbed.Fault{After: n * 9, Times: 2 + m.r.IntN(4), Do: faults[m.r.IntN(len(faults))]})
		}
		if round%10 == 9 {
			m.closeAll()
			m.say("kill")
			m.b.kill()
			m.b.start()
		}
	})
}
