package hydrate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/storage/posixattr"
	"github.com/matrx/sandbox/internal/testbed"
)

// What is excluded is neither hydrated nor deleted, on either side.
func TestExcluded(t *testing.T) {
	h := newHome(t)
	h.put(".sandboxignore", "/out\n*.log\n!keep.pyc\n")
	for _, p := range []string{".cache/x", "a/__pycache__/m.pyc", "m.pyc", "keep.pyc", "out/x", "in/x", "in/y.log", ".DS_Store"} {
		h.put(p, p)
	}
	h.write("out/mine", "mine")
	h.write("here.log", "log")
	p := h.through()
	r := h.hydrate()
	for _, want := range []string{"keep.pyc", "in/x"} {
		h.want(want, want)
	}
	h.want("out/mine", "mine")
	h.want("here.log", "log")
	for _, none := range []string{".cache/x", "a/__pycache__/m.pyc", "m.pyc", "out/x", "in/y.log", ".DS_Store"} {
		h.want(none, "")
		h.wantJournal(none, false, false)
	}
	if r.Files != 3 || len(r.Kept) > 0 {
		t.Errorf("%+v", r)
	}
	// The rules came before anything else.
	for _, q := range p.Requests() {
		if q.Verb == "GET" && strings.HasPrefix(q.Key, h.cfg.HotPrefix()) {
			if q.Key != h.key(".sandboxignore") {
				t.Errorf("%s was fetched before the rules", q.Key)
			}
			break
		}
	}
	if !r.Rules.Match("x.log", false) || r.Rules.Match("keep.pyc", false) {
		t.Error("the rules in the result are others")
	}

	// Rules that grow leave what is here alone, and what is in S3 too.
	h.put(".sandboxignore", "/out\n*.log\n/in\n")
	h.bucket.Delete(h.key("in/x"))
	h.hydrate()
	h.want("in/x", "in/x")
	// Rules that changed here are the rules.
	h.write(".sandboxignore", "/mine\n")
	if r := h.hydrate(); !r.Rules.Match("mine", false) || r.Rules.Match("in/x", false) {
		t.Error("the rules that were changed here are not used")
	}
	h.want(".sandboxignore", "/mine\n")
}

// A large object comes in ranges of one version; one that is overwritten meanwhile comes
// as what it became, never as a mix.
func TestLargeObject(t *testing.T) {
	h := newHome(t)
	content := func(b byte) []byte {
		c := bytes.Repeat([]byte{b}, 40<<20)
		clear(c[5<<20 : 25<<20]) // a hole
		return c
	}
	store := h.store()
	put := func(b byte) {
		c := content(b)
		meta := posixattr.Encode(posixattr.Attr{Mode: 0o100640, Mtime: 42}, "")
		if _, err := store.Put(context.Background(), h.key("big"), bytes.NewReader(c), int64(len(c)), objectstore.PutOptions{Metadata: meta}); err != nil {
			t.Error(err)
		}
	}
	put('a')
	p := h.through()
	p.Add(testbed.Fault{When: testbed.Match{Verb: "GET", Suffix: "/big"}, After: 1, Times: 1, Do: testbed.Call(func() { put('b') })})
	o := h.open()
	_, err := o.run(t.Context())
	o.close()
	must(t, err)
	got := testbed.Scan(t, h.path)["big"]
	sum := sha256.Sum256(content('b'))
	if got.SHA256 != hex.EncodeToString(sum[:]) || got.Mode != 0o100640 || got.Mtime != 42 {
		t.Errorf("%+v", got)
	}
	if got.Blocks*512 > 21<<20 {
		t.Errorf("%d bytes are allocated: the hole was written", got.Blocks*512)
	}
	if n := p.Count("GET"); n < 5 {
		t.Errorf("%d GETs: it did not come in ranges", n)
	}
	h.wantJournal("big", true, false)
	if r := h.hydrate(); r.Files != 0 {
		t.Errorf("%+v", r)
	}
}

// Without root the home is the process's own, and a directory that may not be written
// into is written into all the same, since it is ours.
func TestAsTheAgent(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("run this test as root: it runs a child as another user")
	}
	h := newHome(t)
	mark := func(path string, mode uint32) {
		h.bucket.Put(h.key(path+"/"), "", posixattr.Encode(posixattr.Attr{Mode: 0o040000 | mode, Mtime: 1_600_000_000_000_000_000}, ""))
	}
	mark("closed", 0o555)
	mark("closed/in", 0o500)
	mark("shut", 0o000)
	h.put("closed/in/f", "f")
	h.put("closed/g", "g")
	for _, dir := range []string{h.path, h.state} {
		must(t, os.MkdirAll(dir, 0o700))
		must(t, os.Chown(dir, 1000, 1000))
	}
	open(t, h.path)
	run := func() {
		t.Helper()
		cmd := h.child()
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 1000, Gid: 1000}
		if out, err := runOutput(cmd); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	check := func(want map[string]string) {
		t.Helper()
		got := testbed.Scan(t, h.path)
		for p, mode := range map[string]uint32{"closed": 0o40555, "closed/in": 0o40500, "shut": 0o40000} {
			if n := got[p]; n.Mode != mode || n.UID != 1000 || n.Mtime != 1_600_000_000_000_000_000 {
				t.Errorf("%s: %+v", p, n)
			}
		}
		for p, content := range want {
			h.want(p, content)
		}
	}
	run()
	check(map[string]string{"closed/in/f": "f", "closed/g": "g"})
	// Into directories that are here already, a new file, another version, a removal.
	h.put("closed/in/f", "f2")
	h.put("closed/in/new", "new")
	h.bucket.Delete(h.key("closed/g"))
	run()
	check(map[string]string{"closed/in/f": "f2", "closed/in/new": "new", "closed/g": ""})
}

// open makes the directories above a path ones that another user may pass.
func open(t *testing.T, path string) {
	t.Helper()
	for dir := path; strings.HasPrefix(dir, os.TempDir()+"/"); dir = dir[:strings.LastIndexByte(dir, '/')] {
		if dir != path {
			must(t, os.Chmod(dir, 0o755))
		}
	}
	exe, err := os.Executable()
	must(t, err)
	for dir := exe; strings.HasPrefix(dir, os.TempDir()+"/"); dir = dir[:strings.LastIndexByte(dir, '/')] {
		must(t, os.Chmod(dir, 0o755))
	}
}

func runOutput(cmd *exec.Cmd) ([]byte, error) {
	cmd.Stderr = nil
	return cmd.CombinedOutput()
}

// A file in S3 does not take the place of a directory in which something is mounted: it stays in
// S3 and is named, and the start goes on.
func TestFileInTheWayOfAMount(t *testing.T) {
	h := newHome(t)
	h.put("deep", "a file in S3")
	h.put("deep too/secret/f", "below a mount")
	must(t, os.MkdirAll(h.at("deep/secret"), 0o755))
	must(t, unix.Mount("tmpfs", h.at("deep/secret"), "tmpfs", 0, "size=1m"))
	t.Cleanup(func() { unix.Unmount(h.at("deep/secret"), unix.MNT_DETACH) })
	r := h.hydrate()
	if len(r.Kept) != 1 || r.Kept[0].Path != "deep" {
		t.Errorf("kept %+v", r.Kept)
	}
	h.wantConflict("deep", "")
	if i, err := os.Stat(h.at("deep/secret")); err != nil || !i.IsDir() {
		t.Errorf("the mount is %v, %v", i, err)
	}
}
