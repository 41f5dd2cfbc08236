package tarstream

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type entry struct {
	kind     byte
	name, to string
	content  string
	mode     int64
}

// archive writes what a sender that means ill may send.
func archive(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if e.mode == 0 {
			e.mode = 0o755
		}
		h := &tar.Header{Typeflag: e.kind, Name: e.name, Linkname: e.to, Size: int64(len(e.content)), Mode: e.mode, Format: tar.FormatPAX}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, e.content)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const dir, file, soft, hard = tar.TypeDir, tar.TypeReg, tar.TypeSymlink, tar.TypeLink

// hostile are archives that try to write, or to make something of what is, outside of out/x.
var hostile = map[string][]entry{
	"dots":                     {{kind: dir, name: "x/"}, {kind: file, name: "x/../../evil", content: "evil"}},
	"dots to begin with":       {{kind: file, name: "../evil", content: "evil"}},
	"dots alone":               {{kind: dir, name: "../"}},
	"absolute":                 {{kind: file, name: "/tmp/evil", content: "evil"}},
	"beside":                   {{kind: dir, name: "x/"}, {kind: file, name: "victim", content: "evil"}},
	"beside, by a prefix":      {{kind: dir, name: "x/"}, {kind: file, name: "x-victim", content: "evil"}},
	"through a link":           {{kind: dir, name: "x/"}, {kind: soft, name: "x/l", to: "../.."}, {kind: file, name: "x/l/evil", content: "evil"}},
	"through an absolute link": {{kind: dir, name: "x/"}, {kind: soft, name: "x/l", to: "OUTSIDE"}, {kind: file, name: "x/l/victim", content: "evil"}},
	"through a link within":    {{kind: dir, name: "x/"}, {kind: dir, name: "x/d/"}, {kind: soft, name: "x/l", to: "d"}, {kind: file, name: "x/l/f", content: "evil"}},
	"over a link":              {{kind: dir, name: "x/"}, {kind: soft, name: "x/l", to: "../victim"}, {kind: file, name: "x/l", content: "evil"}},
	"a directory over a link":  {{kind: dir, name: "x/"}, {kind: soft, name: "x/l", to: ".."}, {kind: dir, name: "x/l/", mode: 0o700}},
	"the top is a link":        {{kind: soft, name: "x", to: ".."}, {kind: file, name: "x/victim", content: "evil"}},
	"a hard link out":          {{kind: dir, name: "x/"}, {kind: hard, name: "x/h", to: "x/../victim"}},
	"a hard link beside":       {{kind: dir, name: "x/"}, {kind: hard, name: "x/h", to: "victim"}},
	"a hard link absolute":     {{kind: dir, name: "x/"}, {kind: hard, name: "x/h", to: "/etc/passwd"}},
	"a hard link by a link":    {{kind: dir, name: "x/"}, {kind: soft, name: "x/l", to: "../victim"}, {kind: hard, name: "x/h", to: "x/l"}, {kind: file, name: "x/h", content: "evil"}},
	"a hard link by a way":     {{kind: dir, name: "x/"}, {kind: soft, name: "x/l", to: ".."}, {kind: hard, name: "x/h", to: "x/l/victim"}},
	"a single hard link":       {{kind: hard, name: "x", to: "x"}},
	"two files":                {{kind: file, name: "x", content: "1"}, {kind: file, name: "victim", content: "evil"}},
	"the same twice":           {{kind: file, name: "x", content: "1"}, {kind: file, name: "x", content: "2"}},
	"a file for a directory":   {{kind: dir, name: "x/"}, {kind: file, name: "x", content: "evil"}},
	"a device":                 {{kind: dir, name: "x/"}, {kind: tar.TypeChar, name: "x/null"}},
	"a FIFO":                   {{kind: dir, name: "x/"}, {kind: tar.TypeFifo, name: "x/fifo"}},
	"setuid":                   {{kind: dir, name: "x/", mode: 0o7777}, {kind: file, name: "x/s", content: "s", mode: 0o7777}},
	"deep":                     {{kind: dir, name: "x/"}, {kind: file, name: "x/" + strings.Repeat("d/", 3000) + "f"}},
	"nothing":                  {},
}

// mayPass are those of them that do no harm and so may end without an error.
var mayPass = map[string]bool{"over a link": true, "a device": true, "a FIFO": true, "setuid": true}

func unharmed(t *testing.T, in, outside string, out fs.FileInfo) {
	t.Helper()
	for _, d := range []string{in, outside} {
		if b, err := os.ReadFile(filepath.Join(d, "victim")); err != nil || string(b) != "untouched" {
			t.Errorf("the victim is %q, %v", b, err)
		}
	}
	if now, err := os.Stat(in); err != nil || now.Mode() != out.Mode() {
		t.Errorf("the directory above is %v now", now.Mode())
	}
	filepath.WalkDir(in, func(path string, d fs.DirEntry, err error) error {
		if info, ierr := d.Info(); ierr == nil {
			if strings.HasPrefix(d.Name(), "evil") || strings.HasPrefix(d.Name(), "x-") || info.Mode()&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky|fs.ModeDevice|fs.ModeNamedPipe) != 0 {
				t.Errorf("there is %s, %v", path, info.Mode())
			}
		}
		return nil
	})
}

func TestNothingGetsOut(t *testing.T) {
	for name, entries := range hostile {
		for _, to := range []string{"out", "new"} { // into one that is there, as one that is new
			t.Run(name+" "+to, func(t *testing.T) {
				outside := t.TempDir()
				in := filepath.Join(t.TempDir(), "in")
				os.MkdirAll(filepath.Join(in, "out"), 0o755)
				for _, d := range []string{in, in + "/out", outside} {
					os.WriteFile(filepath.Join(d, "victim"), []byte("untouched"), 0o600)
				}
				before, _ := os.Stat(in)
				var those []entry
				for _, e := range entries {
					e.to = strings.ReplaceAll(e.to, "OUTSIDE", outside)
					those = append(those, e)
				}
				err := Unpack(bytes.NewReader(archive(t, those...)), filepath.Join(in, to), UnpackOptions{})
				if err == nil && !mayPass[name] {
					t.Errorf("it is no error")
				}
				unharmed(t, in, outside, before)
				if b, _ := os.ReadFile(filepath.Join(in, "out/victim")); string(b) != "untouched" {
					t.Errorf("the victim in the directory is %q", b)
				}
			})
		}
	}
}

// What is passed on to another tar has the names that were asked for, files, directories and
// links alone, and no bits that give rights.
func TestFilter(t *testing.T) {
	for name, entries := range hostile {
		if err := Filter(io.Discard, bytes.NewReader(archive(t, entries...)), nil); (err == nil) != (name == "setuid") {
			t.Errorf("%s: %v", name, err)
		}
	}
	var out bytes.Buffer
	good := archive(t, entry{kind: dir, name: "x/", mode: 0o7755}, entry{kind: file, name: "x/f", content: "f", mode: 0o6711}, entry{kind: hard, name: "x/h", to: "x/f"}, entry{kind: soft, name: "x/l", to: "/etc"})
	if err := Filter(&out, bytes.NewReader(good), nil); err != nil {
		t.Fatal(err)
	}
	var got []string
	for r := tar.NewReader(&out); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		b, rerr := io.ReadAll(r)
		if err != nil || rerr != nil {
			t.Fatal(err, rerr)
		}
		got = append(got, fmt.Sprintf("%c %s %s %o %s", h.Typeflag, h.Name, h.Linkname, h.Mode, b))
	}
	if want := "5 x/  755 |0 x/f  711 f|1 x/h x/f 755 |2 x/l /etc 755 "; strings.Join(got, "|") != want {
		t.Errorf("it passes on %s, want %s", strings.Join(got, "|"), want)
	}
}

// An archive of the operator's own may have many names at its top, and none that leads out.
func TestInto(t *testing.T) {
	to := t.TempDir()
	good := archive(t, entry{kind: dir, name: "./"}, entry{kind: file, name: "./a", content: "a"}, entry{kind: file, name: "sub/b", content: "b"}, entry{kind: hard, name: "c", to: "./a"})
	if err := Unpack(bytes.NewReader(good), to, UnpackOptions{Into: true}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a": "a", "sub/b": "b", "c": "a"} {
		if b, err := os.ReadFile(filepath.Join(to, name)); string(b) != want {
			t.Errorf("%s is %q, %v", name, b, err)
		}
	}
	for name, e := range map[string]entry{"dots": {kind: file, name: "../evil"}, "absolute": {kind: file, name: "/evil"}} {
		if err := Unpack(bytes.NewReader(archive(t, e)), to, UnpackOptions{Into: true}); err == nil {
			t.Errorf("%s is no error", name)
		}
	}
	if err := Unpack(bytes.NewReader(good), filepath.Join(to, "none"), UnpackOptions{Into: true}); err == nil {
		t.Error("a directory that there is not is made")
	}
	if err := Unpack(strings.NewReader("\x1f\x8b this is compressed"+strings.Repeat("x", 1000)), to, UnpackOptions{Into: true}); err == nil || !strings.Contains(err.Error(), "no tar archive") {
		t.Errorf("what is no archive: %v", err)
	}
}

// A few bytes that stand for terabytes are not believed.
func TestSparse(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "x", Mode: 0o644, Format: tar.FormatGNU}); err != nil {
		t.Fatal(err)
	}
	w.Close()
	// The writer makes none: the type is changed, and so is the sum of the header's bytes.
	h := b.Bytes()
	h[156] = tar.TypeGNUSparse
	copy(h[148:156], "        ")
	sum := 0
	for _, c := range h[:512] {
		sum += int(c)
	}
	copy(h[148:156], fmt.Sprintf("%06o\x00 ", sum))
	if err := Unpack(bytes.NewReader(h), t.TempDir(), UnpackOptions{}); err == nil || !strings.Contains(err.Error(), "sparse") {
		t.Errorf("a sparse file: %v", err)
	}
	if !sparse(&tar.Header{PAXRecords: map[string]string{"GNU.sparse.major": "1"}}) {
		t.Error("the newer kind is not known")
	}
}

func FuzzUnpack(f *testing.F) {
	for name, entries := range hostile {
		if name != "deep" { // thousands of directories each time
			f.Add(archive(f, entries...))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<16 {
			return
		}
		outside, in := t.TempDir(), t.TempDir()
		for _, d := range []string{in, outside} {
			os.WriteFile(filepath.Join(d, "victim"), []byte("untouched"), 0o600)
		}
		before, _ := os.Stat(in)
		_ = Unpack(bytes.NewReader(b), filepath.Join(in, "out"), UnpackOptions{})
		for _, d := range []string{in, outside} {
			if v, err := os.ReadFile(filepath.Join(d, "victim")); err != nil || string(v) != "untouched" {
				t.Errorf("the victim is %q, %v", v, err)
			}
		}
		entries, _ := os.ReadDir(in)
		if now, _ := os.Stat(in); len(entries) > 2 || now.Mode() != before.Mode() {
			t.Error(fmt.Sprint(entries))
		}
		_ = Filter(io.Discard, bytes.NewReader(b), nil)
	})
}
