package watch

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newWatcher(t *testing.T) *Watcher {
	t.Helper()
	w, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func add(t *testing.T, w *Watcher, dir string) WD {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	wd, err := w.Add(fd, true)
	if err != nil {
		t.Fatal(err)
	}
	return wd
}

func readAll(t *testing.T, w *Watcher) (events []Event) {
	t.Helper()
	for {
		drained, err := w.Read(false, func(e Event) { events = append(events, e) })
		if err != nil {
			t.Fatal(err)
		}
		if drained {
			return events
		}
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What happens in several directories comes in the order in which it happened.
func TestOrderAcrossDirectories(t *testing.T) {
	w := newWatcher(t)
	a, b := t.TempDir(), t.TempDir()
	wa, wb := add(t, w, a), add(t, w, b)
	check(t, os.WriteFile(a+"/pack", []byte("x"), 0o644))
	check(t, os.WriteFile(b+"/loose", []byte("x"), 0o644))
	check(t, os.Rename(a+"/pack", b+"/pack"))
	check(t, os.Remove(b+"/loose"))
	var got []string
	var cookies []uint32
	for _, e := range readAll(t, w) {
		dir := map[WD]string{wa: "a/", wb: "b/"}[e.WD]
		switch {
		case e.Is(Create):
			got = append(got, "create "+dir+e.Name)
		case e.Is(MovedFrom):
			got = append(got, "from "+dir+e.Name)
			cookies = append(cookies, e.Cookie)
		case e.Is(MovedTo):
			got = append(got, "to "+dir+e.Name)
			cookies = append(cookies, e.Cookie)
		case e.Is(Delete):
			got = append(got, "delete "+dir+e.Name)
		}
	}
	want := []string{"create a/pack", "create b/loose", "from a/pack", "to b/pack", "delete b/loose"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if len(cookies) != 2 || cookies[0] != cookies[1] || cookies[0] == 0 {
		t.Errorf("cookies %v", cookies)
	}
}

func TestNameOfAnyBytes(t *testing.T) {
	w := newWatcher(t)
	dir := t.TempDir()
	add(t, w, dir)
	name := "\xff\n\\%" + string(slices.Repeat([]byte{'x'}, 250))
	check(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	events := readAll(t, w)
	if len(events) != 1 || events[0].Name != name || !events[0].Is(IsDir) {
		t.Errorf("%+v", events)
	}
}

// A symbolic link in the place of a watched directory changes nothing: the descriptor
// was watched.
func TestWatchFollowsTheDirectory(t *testing.T) {
	w := newWatcher(t)
	base, outside := t.TempDir(), t.TempDir()
	check(t, os.Mkdir(base+"/d", 0o755))
	fd, err := unix.Open(base+"/d", unix.O_PATH|unix.O_DIRECTORY, 0)
	check(t, err)
	defer unix.Close(fd)
	check(t, os.Rename(base+"/d", base+"/e"))
	check(t, os.Symlink(outside, base+"/d"))
	_, err = w.Add(fd, false)
	check(t, err)
	check(t, os.WriteFile(outside+"/secret", nil, 0o644))
	check(t, os.WriteFile(base+"/e/mine", nil, 0o644))
	for _, e := range readAll(t, w) {
		if e.Name != "mine" {
			t.Errorf("an event of %q", e.Name)
		}
	}
}

func TestWakeAndClose(t *testing.T) {
	w := newWatcher(t)
	add(t, w, t.TempDir())
	read := func() chan error {
		c := make(chan error, 1)
		go func() {
			drained, err := w.Read(true, func(Event) {})
			if err == nil && !drained {
				err = errors.New("events where there were none")
			}
			c <- err
		}()
		return c
	}
	c := read()
	w.Wake()
	if err := <-c; err != nil {
		t.Error(err)
	}
	w.Wake() // before the read
	if err := <-read(); err != nil {
		t.Error(err)
	}
	c = read()
	w.Close()
	if err := <-c; !errors.Is(err, os.ErrClosed) {
		t.Errorf("a closed watcher says %v", err)
	}
}

func TestOverflowIsTold(t *testing.T) {
	limit, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	check(t, err)
	w := newWatcher(t)
	dir := t.TempDir()
	add(t, w, dir)
	for i := range 40_000 {
		check(t, os.WriteFile(dir+"/"+string(rune('a'+i%26)), nil, 0o644))
	}
	events := readAll(t, w)
	if n := len(events); n == 0 || !events[n-1].Is(Overflow) {
		t.Errorf("%d events with a queue of %s, the last is no overflow", n, limit)
	}
}

func TestDirs(t *testing.T) {
	dirs := NewDirs()
	root := dirs.Root()
	a := dirs.Enter(root, "a")
	b := dirs.Enter(a, "b")
	dirs.Watch(root, 1)
	dirs.Watch(a, 2)
	dirs.Watch(b, 3)
	if b.Path() != "a/b" || root.Path() != "" || dirs.Find("a/b") != b || dirs.ByWD(3) != b {
		t.Fatal("paths")
	}
	// mv a x: the same watches, elsewhere.
	dirs.Cut(a)
	if dirs.Find("a") != nil || !b.Gone() || dirs.ByWD(3) != b {
		t.Error("cut")
	}
	x := dirs.Enter(root, "x")
	dirs.Watch(x, 2)
	if a.Watched() || dirs.ByWD(2) != x {
		t.Error("a watch that moved")
	}
	if got := dirs.Drop(a); !slices.Equal(got, []WD{3}) || dirs.ByWD(3) != nil || dirs.Len() != 2 {
		t.Errorf("dropped %v, %d watches", got, dirs.Len())
	}
	dirs.Unwatch(2)
	if x.Watched() || dirs.Len() != 1 {
		t.Error("unwatch")
	}
}
