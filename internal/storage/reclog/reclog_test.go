package reclog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

var format = Format{Magic: "test log 1\n", MaxRecord: 1 << 10, Reserve: 64 << 10}

// open opens a log and gives its records.
func open(t testing.TB, path string) (*Log, []string) {
	t.Helper()
	var got []string
	l, err := Open(path, format, func(payload []byte) (bool, error) {
		got = append(got, string(payload))
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, got
}

func appendAll(t testing.TB, l *Log, records ...string) {
	t.Helper()
	for _, r := range records {
		if err := l.Append([]byte(r)); err != nil {
			t.Fatal(err)
		}
	}
}

func records(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("record %d %s", i, bytes.Repeat([]byte{byte(i)}, i*7%50)))
	}
	return out
}

// The log is cut at every length: what is read is a beginning of what was appended, each record whole,
// and the log goes on from there.
func TestLogCutAtEveryByteKeepsTheWholeRecords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, _ := open(t, path)
	want := records(9)
	ends := []int64{l.Size()}
	for _, r := range want {
		appendAll(t, l, r)
		ends = append(ends, l.Size())
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(whole) + 1 {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		n := 0
		for n < len(want) && ends[n+1] <= int64(cut) {
			n++
		}
		l, got := open(t, path)
		if !slices.Equal(got, want[:n]) {
			t.Fatalf("cut at %d: %d records were read, want %d", cut, len(got), n)
		}
		appendAll(t, l, "after the cut")
		if _, got := open(t, path); !slices.Equal(got, append(slices.Clone(want[:n]), "after the cut")) {
			t.Fatalf("cut at %d: after one more record %q was read", cut, got)
		}
	}
}

// A bit is flipped everywhere: no record is read that was not appended.
func TestDamagedRecordEndsTheLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, _ := open(t, path)
	want := records(5)
	appendAll(t, l, want...)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := len(format.Magic); at < len(whole); at++ {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 1 << (at % 8)
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, got := open(t, path); len(got) >= len(want) || !slices.Equal(got, want[:len(got)]) {
			t.Fatalf("a bit flipped at %d: %q was read", at, got)
		}
	}
}

func TestForeignFileIsLeftAsItIs(t *testing.T) {
	for _, content := range []string{"test log 2\nrecords", "x", "test lo!"} {
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, format, nil); !errors.Is(err, ErrForeign) {
			t.Errorf("%q: %v", content, err)
		}
		if got, _ := os.ReadFile(path); string(got) != content {
			t.Errorf("%q became %q", content, got)
		}
	}
}

func TestLogEndsBeforeTheRecordThatIsNotBelieved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, _ := open(t, path)
	appendAll(t, l, "a", "b", "c")
	refuse := errors.New("refused")
	if _, err := Open(path, format, func(p []byte) (bool, error) { return true, refuse }); !errors.Is(err, refuse) {
		t.Errorf("an error of apply became %v", err)
	}
	if _, got := open(t, path); len(got) != 3 {
		t.Fatalf("after an error of apply %d records are left", len(got))
	}
	if _, err := Open(path, format, func(p []byte) (bool, error) { return string(p) != "b", nil }); err != nil {
		t.Fatal(err)
	}
	if _, got := open(t, path); !slices.Equal(got, []string{"a"}) {
		t.Errorf("%q is left", got)
	}
}

func TestReplaceKeepsTheOldLogUntilTheNewOneIsWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, _ := open(t, path)
	appendAll(t, l, "old")
	refuse := errors.New("refused")
	err := l.Replace(func(put func([]byte) error) error {
		return errors.Join(put([]byte("new")), refuse)
	})
	if !errors.Is(err, refuse) {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path + newSuffix); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the new file is left: %v", err)
	}
	appendAll(t, l, "older")
	if _, got := open(t, path); !slices.Equal(got, []string{"old", "older"}) {
		t.Fatalf("after a failed Replace %q was read", got)
	}
	if err := l.Replace(func(put func([]byte) error) error { return put([]byte("new")) }); err != nil {
		t.Fatal(err)
	}
	appendAll(t, l, "newer")
	if _, got := open(t, path); !slices.Equal(got, []string{"new", "newer"}) {
		t.Fatalf("after Replace %q was read", got)
	}
	if err := l.Reset(); err != nil {
		t.Fatal(err)
	}
	appendAll(t, l, "newest")
	if _, got := open(t, path); !slices.Equal(got, []string{"newest"}) {
		t.Errorf("after Reset %q was read", got)
	}
}

func TestRecordOfImpossibleLengthIsRefused(t *testing.T) {
	l, _ := open(t, filepath.Join(t.TempDir(), "log"))
	for _, n := range []int{0, format.MaxRecord + 1} {
		if err := l.Append(make([]byte, n)); !errors.Is(err, errTooLong) {
			t.Errorf("Append of %d bytes: %v", n, err)
		}
		if err := l.Replace(func(put func([]byte) error) error { return put(make([]byte, n)) }); !errors.Is(err, errTooLong) {
			t.Errorf("Replace with %d bytes: %v", n, err)
		}
	}
	appendAll(t, l, string(make([]byte, format.MaxRecord)))
}

// A full disk is a small file system of the test's own: what was set aside carries on for some records, a
// failed one leaves the log as it was, and room lets it go on.
func TestFullDiskLeavesTheLogAsItWas(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatalf("cannot mount a small file system (the test runs as root, with CAP_SYS_ADMIN): %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	path := filepath.Join(dir, "log")
	l, _ := open(t, path)
	want := []string{"first"}
	appendAll(t, l, "first")
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 2<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
	record := string(bytes.Repeat([]byte("x"), 1000))
	var err error
	for range 1000 {
		if err = l.Append([]byte(record)); err != nil {
			break
		}
		want = append(want, record)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk is full, and Append says %v", err)
	}
	if len(want) < 30 {
		t.Errorf("%d records had room although %d bytes were set aside", len(want), format.Reserve)
	}
	if _, got := open(t, path); !slices.Equal(got, want) {
		t.Fatalf("%d records were read, want %d", len(got), len(want))
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	appendAll(t, l, "last")
	if _, got := open(t, path); !slices.Equal(got, append(want, "last")) {
		t.Errorf("with room again %d records were read", len(got))
	}
}

// Any file opens or is refused; what was read is read again, and the log goes on.
func FuzzOpen(f *testing.F) {
	frame := appendFrame(nil, []byte("payload"))
	f.Add([]byte(format.Magic))
	f.Add(append([]byte(format.Magic), frame...))
	f.Add(append([]byte(format.Magic), frame[:9]...))
	f.Add([]byte("test"))
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		var first []string
		l, err := Open(path, format, func(p []byte) (bool, error) { first = append(first, string(p)); return true, nil })
		if errors.Is(err, ErrForeign) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		appendAll(t, l, "more")
		if _, got := open(t, path); !slices.Equal(got, append(first, "more")) {
			t.Fatalf("first %q, then %q", first, got)
		}
	})
}

// A Syncer that comes too late says so, and its caller takes the file that is there now.
func TestSyncerOfClosedFileSaysSo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, _ := open(t, path)
	sync := l.Syncer()
	if err := sync(); err != nil {
		t.Fatal(err)
	}
	if err := l.Replace(func(func([]byte) error) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := sync(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("of a log that was replaced: %v", err)
	}
	if sync = l.Syncer(); sync() != nil {
		t.Error("of the new one: it fails")
	}
	l.Close()
	if err := sync(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("of a log that was closed: %v", err)
	}
}
