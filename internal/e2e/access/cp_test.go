package access

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/matrx/sandbox/catalog"
)

// list says what is in a tree, here as there: kind, permissions without what gives rights, time,
// size (a directory's is the file system's), link, name.
const list = `cd "$1" && find . -mindepth 1 -printf '%y %m %T@ %s %l %P\n' | sed 's/^\(d .*\) [0-9]*  /\1  /; s/^\(.\) [0-9]*\([0-9]\{3\}\) /\1 \2 /' | LC_ALL=C sort`

func (o *operator) listInside(id, dir string) string {
	o.T.Helper()
	return o.OK("exec", id, "--", "bash", "-c", list, "list", dir)
}

func listHere(t *testing.T, dir string) string {
	t.Helper()
	out, err := shell(list, dir)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestCopyIsWholeAndTheAgents: what is copied into a sandbox is there as it was here, belongs to the agent, and
// is in S3 when the sandbox has ended; what is copied out is here as it was there. Mounts in
// memory count as any directory does, and the agent's rights are the copy's.
func TestCopyIsWholeAndTheAgents(t *testing.T) {
	o := newOperator(t)
	box := o.OK("run", "--image", catalog.Reference("", "core", ""), "--user-id", "u", "--access", "restricted", "--detach")
	here := t.TempDir()
	tree := filepath.Join(here, "tree")
	if _, err := shell(`mkdir -p "$1/sub/empty" && cd "$1" && head -c 5000000 /dev/urandom >sub/big && echo run >sub/script && chmod 751 sub/script &&
		ln -s ../nowhere sub/link && ln sub/script second && echo odd >$'sub/odd \xff\n\e[2J' && chmod 4755 second && chmod 550 sub/empty && : >none &&
		touch -h -d '2011-02-03 04:05:06.789012345' sub/* * .`, tree); err != nil {
		t.Fatal(err)
	}
	want := listHere(t, tree)

	o.OK("cp", tree, box+":")                // into the home, since a directory is there
	o.OK("cp", tree, box+":/home/agent/new") // as new
	o.OK("cp", tree+"/.", box+":new/sub")    // what is in it, into one that is there
	o.OK("cp", tree, box+":/dev/shm")        // in memory
	o.OK("cp", tree, box+":/tmp/")           // likewise, below a root that is read-only
	for _, at := range []string{"/home/agent/tree", "/dev/shm/tree", "/tmp/tree"} {
		if got := o.listInside(box, at); got != want {
			t.Errorf("%s is\n%s\nwant\n%s", at, got, want)
		}
	}
	if got := o.listInside(box, "/home/agent/new/sub/sub"); !strings.Contains(want, "script") || !strings.Contains(got, "script") {
		t.Errorf("new/sub/sub is %s", got)
	}
	if got := o.OK("exec", box, "--", "sh", "-c", "find ~/tree ~/new ! -user agent -o ! -group agent; ls ~/tree/second -i | cut -d' ' -f1; ls -i ~/tree/sub/script | cut -d' ' -f1"); len(strings.Fields(got)) != 2 ||
		strings.Fields(got)[0] != strings.Fields(got)[1] {
		t.Errorf("owners, and the two names of one file: %s", got)
	}

	for i, from := range []string{"tree", "/home/agent/tree/.", "/tmp/tree/"} {
		to := filepath.Join(here, fmt.Sprint("back", i))
		o.OK("cp", box+":"+from, to)
		if got := listHere(t, to); got != want {
			t.Errorf("%s comes back as\n%s\nwant\n%s", from, got, want)
		}
	}

	// Archives.
	archive := o.Do(nil, "cp", box+":tree", "-")
	if archive.Code != 0 {
		t.Fatal(archive.Stderr)
	}
	var names []string
	for r := tar.NewReader(strings.NewReader(archive.Stdout)); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
	if len(names) != strings.Count(want, "\n")+1 || names[0] != "tree/" {
		t.Errorf("the archive has %q", names)
	}
	o.OK("exec", box, "--", "mkdir", "again")
	if r := o.Do(strings.NewReader(archive.Stdout), "cp", "-", box+":again"); r.Code != 0 {
		t.Errorf("an archive goes in: %v", r)
	}
	if got := o.listInside(box, "/home/agent/again/tree"); got != want {
		t.Errorf("from the archive:\n%s\nwant\n%s", got, want)
	}

	// The agent's rights, and mistakes.
	file := filepath.Join(here, "file")
	os.WriteFile(file, []byte("mine"), 0o644)
	for _, tc := range []struct {
		from, to string
		code     int
		want     string
	}{
		{file, box + ":/etc/passwd", 125, "as the agent: cannot write"},
		{file, box + ":/usr/local/bin/sandbox-init", 125, "as the agent: cannot write"},
		{box + ":/proc/1/environ", here, 125, "permission denied"},
		{box + ":/dev/null", filepath.Join(here, "null"), 125, "neither a file"},
		{file, box + ":none/file", 125, "no such file or directory"},
		{file, box + ":none/", 125, "there is no such directory"},
		{filepath.Join(here, "none"), box + ":x", 125, "no such file or directory"},
		{box + ":none", here, 125, `cannot read "none"`},
		{file, here, 2, "one must be ID:PATH"},
		{box + ":a", box + ":b", 2, "sandbox cp - "},
		{file, "nobody:x", 125, "there is no such sandbox"},
	} {
		if r := o.Do(nil, "cp", tc.from, tc.to); r.Code != tc.code && tc.code != 0 || !strings.Contains(r.Stderr, tc.want) {
			t.Errorf("cp %s %s: %v, want code %d and %q", tc.from, tc.to, r, tc.code, tc.want)
		}
	}
	if r := o.Do(strings.NewReader(archive.Stdout[:len(archive.Stdout)/2]), "cp", "-", box+":again"); r.Code != 125 || !strings.Contains(r.Stderr, "ends too early") {
		t.Errorf("half an archive: %v", r)
	}
	o.OK("exec", box, "--", "sh", "-c", `test "$(cat /etc/passwd)" != mine && test ! -e ~/none && ! find ~ -name '.sandbox-*.tmp' | grep .`)

	o.OK("stop", box)
	if r := o.Do(nil, "cp", file, box+":x"); r.Code != 125 || !strings.Contains(r.Stderr, "sandbox run --user-id u --detach") {
		t.Errorf("into one that has ended: %v", r)
	}
	box = o.OK("run", "--image", catalog.Reference("", "core", ""), "--user-id", "u", "--detach")
	if got, want := filesOf(o.listInside(box, "/home/agent/tree")), filesOf(want); got != want {
		t.Errorf("the next one finds\n%s\nwant\n%s", got, want)
	}
	o.OK("stop", box)
}

// filesOf leaves out the directories: S3 has no times of those that are not empty.
func filesOf(list string) string {
	var out strings.Builder
	for line := range strings.Lines(list) {
		if !strings.HasPrefix(line, "d ") {
			out.WriteString(line)
		}
	}
	return out.String()
}

// TestCopyOfAHostileTreeStaysInItsDestination: what an agent has made of names and links is here as it made it,
// and nothing but it.
func TestCopyOfAHostileTreeStaysInItsDestination(t *testing.T) {
	o := newOperator(t)
	box := o.OK("run", "--image", catalog.Reference("", "core", ""), "--user-id", "u", "--detach")
	o.OK("exec", box, "--", "bash", "-c", `mkdir -p evil/d && cd evil && ln -s /etc/passwd passwd && ln -s ../../.. up && ln -s / d/root && mkfifo fifo &&
		: >$'\e]0;x\a\n--' && : >'..x' && : >'-rf' && cp /bin/true suid && chmod 6755 suid && python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("sock")'`)
	to := filepath.Join(t.TempDir(), "to")
	os.Mkdir(to, 0o755)
	os.WriteFile(filepath.Join(to, "victim"), []byte("untouched"), 0o600)
	r := o.Do(nil, "cp", box+":evil", to)
	if r.Code != 0 || strings.Count(r.Stderr, "left out") != 2 || strings.ContainsAny(r.Stderr, "\x1b\a") {
		t.Errorf("cp: %v", r)
	}
	if got := listHere(t, to); strings.Count(got, "\n")+1 != 11 || strings.Count(got, "evil") != 9 { // one name has two lines
		t.Errorf("there is\n%s", got)
	}
	for name, target := range map[string]string{"passwd": "/etc/passwd", "up": "../../..", "d/root": "/"} {
		if got, err := os.Readlink(filepath.Join(to, "evil", name)); got != target {
			t.Errorf("%s leads to %s, %v", name, got, err)
		}
	}
	if st, err := os.Stat(filepath.Join(to, "evil/suid")); err != nil || st.Mode() != 0o755 {
		t.Errorf("suid is %v, %v", st, err)
	}
	o.OK("stop", box)
}

// gone waits until no process of the sandbox is called so.
func (o *operator) gone(box, role string) {
	o.T.Helper()
	o.OK("exec", box, "--", "bash", "-c", `until ! grep -lzx -- "$1" /proc/[0-9]*/cmdline 2>/dev/null | grep -v "^/proc/$$/" | xargs -r grep -lz sandbox-init 2>/dev/null | grep .; do sleep 0.1; done`, "gone", role)
}

// TestInterruptedCopyLeavesNoPart: a copy that is called off ends at both ends, and leaves nothing that
// is not whole.
func TestInterruptedCopyLeavesNoPart(t *testing.T) {
	o := newOperator(t)
	box := o.OK("run", "--image", catalog.Reference("", "core", ""), "--user-id", "u", "--detach")
	interrupt := func(name string, stdin io.Reader, started func(out io.Reader), args ...string) {
		t.Helper()
		cmd := o.Command(t.Context(), args...)
		cmd.Stdin = stdin
		var said bytes.Buffer
		cmd.Stderr = &said
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		started(out)
		cmd.Process.Signal(syscall.SIGINT)
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case <-ended:
		case <-time.After(time.Minute):
			t.Fatalf("%s: it does not end", name)
		}
		if cmd.ProcessState.ExitCode() != 130 {
			t.Errorf("%s: it ends with %v: %s", name, cmd.ProcessState, &said)
		}
	}
	half, send, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	defer send.Close()
	w := tar.NewWriter(send)
	w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "half", Mode: 0o644, Size: 1 << 20})
	w.Write([]byte("the first of it"))
	interrupt("in", half, func(io.Reader) {
		o.OK("exec", box, "--", "sh", "-c", `until ls -A | grep -q '^\.sandbox-hydrate-.*\.tmp$'; do sleep 0.1; done`)
	}, "cp", "-", box+":")
	o.gone(box, "-unpack")
	if got := o.OK("exec", box, "--", "ls", "-A"); got != "" {
		t.Errorf("it has left %s", got)
	}
	o.OK("exec", box, "--", "sh", "-c", "head -c 300000000 /dev/zero >.cache-big")
	interrupt("out", nil, func(out io.Reader) { io.ReadFull(out, make([]byte, 1<<16)) }, "cp", box+":.cache-big", "-")
	o.gone(box, "-pack")
	o.OK("rm", "--force", box)
}

// shell runs a script here.
func shell(script string, args ...string) (string, error) {
	cmd := exec.Command("bash", append([]string{"-c", script, "script"}, args...)...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, &said)
	}
	return strings.TrimSuffix(string(out), "\n"), err
}
