package access

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/contract/spec"
	"github.com/matrx/sandbox/internal/e2e/harness"
)

// derived makes an image from another one, for this test.
func derived(t *testing.T, ref, dockerfile string, files map[string]string) {
	t.Helper()
	dir := t.TempDir()
	files["Dockerfile"] = dockerfile
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	harness.EngineOK(t, "build", "-q", "-t", ref, dir)
	t.Cleanup(func() {
		if out, err := exec.Command("docker", "image", "rm", ref).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

// installs is what an agent does that has to be written somewhere: a package of its own for
// Python and for Node.js, programs in /tmp, caches, a repository, a terminal, the cold path.
const installs = `
cd "$(mktemp -d)"
python3 - <<'EOT'
import zipfile
with zipfile.ZipFile("mine-1.0-py3-none-any.whl", "w") as z:
    z.writestr("mine.py", "print('python package')\n")
    z.writestr("mine-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    z.writestr("mine-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    z.writestr("mine-1.0.dist-info/RECORD", "")
EOT
pip install --quiet --user --no-index ./mine-1.0-py3-none-any.whl
python3 -c 'import mine'
python3 -m venv venv && venv/bin/python -c 'print("venv")'
mkdir tool && echo '{"name":"tool","version":"1.0.0","bin":"tool.js"}' >tool/package.json
printf '#!/usr/bin/env node\nconsole.log("node package")\n' >tool/tool.js
npm install --silent -g ./tool && tool
printf '#!/bin/sh\necho program in /tmp\n' >program && chmod +x program && ./program
echo x >"$XDG_CACHE_HOME/x" && echo cache
git init -q repo && git -C repo -c user.name=a -c user.email=a@b commit -q --allow-empty -m one && git -C repo log --format=%s
tmux new-session -d 'echo from tmux >said; tmux wait-for -S done; exec cat' && tmux wait-for done && cat said && tmux kill-server
echo cold >/data/cold/file && cat /data/cold/file
`

// A restricted sandbox has a read-only root, for root as well, and its agent can do all that
// it could.
func TestReadOnlyRootRunsWhatCorePromises(t *testing.T) {
	o := newOperator(t)
	b := o.ColdBox("hard", "--access", "restricted", "--memory", "768m")
	const write = `for d in / /etc /usr/bin /opt /root /var /var/lib /run /home /data; do touch $d/x 2>&1; done`
	for _, user := range []string{"0", "1000"} {
		r := harness.Engine(t, nil, "exec", "--user", user, b.Name, "bash", "-c", write)
		readOnly, denied := strings.Count(r.Stdout, "Read-only file system\n"), strings.Count(r.Stdout, "Permission denied\n")
		if readOnly+denied != 10 || user == "0" && denied > 0 {
			t.Errorf("user %s: %v", user, r)
		}
	}
	const want = "python package\nvenv\nnode package\nprogram in /tmp\ncache\none\nfrom tmux\ncold"
	if got := b.Agent(installs); got != want {
		t.Errorf("it says\n%s\nwant\n%s", got, want)
	}
	// Of 768 MB, half.
	const look = `df -B1M --output=fstype,size /tmp /var/tmp "$XDG_CACHE_HOME" | tail -n 3 | tr -s ' '; stat -c %U:%a "$XDG_CACHE_HOME" /tmp`
	if got := b.Agent(look); got != "tmpfs 384\ntmpfs 384\ntmpfs 384\nagent:700\nroot:1777" {
		t.Errorf("in memory: %s", got)
	}
	text := o.OK("inspect", "hard")
	for _, want := range []string{`(?m)^root +read-only$`, `(?m)^seccomp +browser$`, `(?m)^apparmor +`} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	keepsItsPromises(b, "core")
	if r := harness.Engine(t, nil, "logs", b.Name); strings.Contains(r.Stderr, "cold_") {
		t.Errorf("it complains: %v", r)
	}
	o.OK("stop", "hard")
}

// keepsItsPromises runs the probe of everything that an image promises.
func keepsItsPromises(b *harness.ColdBox, image string) {
	b.T.Helper()
	c, err := catalog.Load(os.DirFS(harness.Repository))
	if err != nil {
		b.T.Fatal(err)
	}
	i, err := c.Image(image)
	if err != nil {
		b.T.Fatal(err)
	}
	probes := func(kind string, names []string, known map[string]spec.Probe) {
		if len(names) == 0 {
			b.T.Errorf("%s has no %s", image, kind)
		}
		for _, name := range names {
			p := known[name]
			r := harness.Engine(b.T, nil, append([]string{"exec", "--user", "1000", "--workdir", contract.DefaultHotPath, b.Name}, p.Run...)...)
			if err := p.Check(r.Code, r.Stdout+r.Stderr); err != nil {
				b.T.Errorf("%s: %s %s: %v", image, kind, name, err)
			}
		}
	}
	v := spec.CurrentVocabulary()
	probes("capability", i.Capabilities, v.Capabilities)
	probes("tool", i.Tools, v.Tools)
}

// Where the root is not read-only by default, and how to say so. Volumes of the image's own
// are written to in either case.
func TestRootIsWritableWhereAskedFor(t *testing.T) {
	o := newOperator(t)
	ref := harness.Ref("writes")
	derived(t, ref, "FROM "+catalog.Reference("", "base", "")+`
USER root
RUN mkdir -m 777 /own /volume
ENV COLD_PATH=/mnt/cold
VOLUME /volume /tmp
USER agent
`, map[string]string{})
	const script = `touch /own/x 2>&1; touch /volume/x /tmp/x && echo volumes; echo cold >/mnt/cold/x && cat /mnt/cold/x; stat -fc %T /tmp`
	const own = "touch: cannot touch '/own/x': Read-only file system\n"
	for _, tc := range []struct {
		name  string
		flags []string
		says  string
		tmp   bool // in memory
	}{
		{"restricted", []string{"--access", "restricted"}, own, true},
		{"restricted, writable", []string{"--access", "restricted", "--no-read-only"}, "", false},
		{"allow", []string{"--access", "allow=example.com"}, "", false},
		{"full", []string{"--access", "full"}, "", false},
		{"full, read-only", []string{"--access", "full", "--read-only", "--tmp-size", "8m"}, own, true},
	} {
		r := o.Do(nil, append(append([]string{"run", "-q", "--image", ref, "--user-id", "u"}, tc.flags...), "--", "bash", "-c", script)...)
		if !strings.HasPrefix(r.Stdout, tc.says+"volumes\ncold\n") || strings.HasSuffix(r.Stdout, "\ntmpfs\n") != tc.tmp || r.Code != 0 || r.Stderr != "" {
			t.Errorf("%s: %v", tc.name, r)
		}
	}
}

// What the kernel is not asked for. Fakeinit is root and has SYS_ADMIN, so that what is
// denied, a profile denies: the engine's own allows more to a container with SYS_ADMIN.
func TestSeccompDeniesCallsOfRoot(t *testing.T) {
	o := newOperator(t)
	ref := harness.Ref("browser")
	derived(t, ref, "FROM "+harness.FakeinitImage+"\nCOPY capabilities.json /etc/sandbox/\n", map[string]string{"capabilities.json": `{"schema_version": 1, "name": "b", "version": "1", "capabilities": ["browser"],
"default_access_mode": "restricted", "resource_limits": {"memory_mb": 512, "cpu_cores": 1, "timeout_seconds": 300, "max_processes": 50}}`})
	always := []string{"add_key", "bpf", "clone user+cgroup", "clone user+ipc", "clone user+mount", "clone user+uts", "clone3", "fsopen",
		"io_uring_enter", "io_uring_setup", "keyctl", "mount_setattr", "open_tree", "perf_event_open", "request_key", "setns",
		"socket alg", "socket bluetooth", "socket can", "socket key", "socket l2tp", "socket mptcp", "socket netfilter", "socket packet", "socket raw", "socket sctp",
		"socket sctp stream", "socket smc", "socket udplite", "socket vsock", "socketpair tcp", "socketpair tipc", "userfaultfd"}
	namespaces := []string{"chroot", "clone user", "clone user+pid+net"}
	for _, tc := range []struct {
		name, image string
		flags       []string
		denied      []string
	}{
		{"restricted", harness.FakeinitImage, nil, slices.Concat(always, namespaces)},
		{"without the cold path", harness.FakeinitImage, []string{"--no-fuse"}, slices.Concat(always, namespaces, []string{"mount", "umount2"})},
		{"full", harness.FakeinitImage, []string{"--access", "full"}, slices.Concat(always, namespaces)},
		{"with a browser", ref, nil, always},
	} {
		slices.Sort(tc.denied)
		want := strings.Join(tc.denied, "\n") + "\n"
		r := o.Do(nil, append(append([]string{"run", "-q", "--image", tc.image, "--user-id", "u"}, tc.flags...), "--", "calls")...)
		if r.Stdout != want || r.Code != 0 {
			t.Errorf("%s: %v\nwant %s", tc.name, r, want)
		}
	}
	// A session that is exec'd in has the same.
	id := o.OK("run", "--image", harness.FakeinitImage, "--user-id", "u", "--detach")
	if got := o.OK("exec", id, "--", "/fakeinit", "do", "calls"); !strings.Contains(got, "clone user+pid+net\n") || strings.Contains(got, "ptrace") {
		t.Errorf("a session is denied %s", got)
	}
	o.OK("stop", id)
}

// looksAtTheRenderer serves a page to Chromium. When the page's script asks for /now, the
// renderer that runs it lives: what it is confined by is seen in /proc then.
const looksAtTheRenderer = `
import http.server, os, re, subprocess, threading
def status(pid, name): return int(re.search(name + r":\s*(\d+)", open("/proc/%d/status" % pid).read())[1])
def look():
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        try: args = open("/proc/%d/cmdline" % pid).read().replace("\0", " ")
        except OSError: continue
        if args.startswith("/usr/lib/chromium/") and "--type=renderer" in args:
            own = {n: os.readlink("/proc/%d/ns/%s" % (pid, n)) != os.readlink("/proc/self/ns/" + n) for n in ("user", "pid", "net")}
            yield own, os.readlink("/proc/%d/root" % pid) != "/", status(pid, "Seccomp_filters") > status(os.getpid(), "Seccomp_filters"), "--no-sandbox" in args
class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args): pass
    def do_GET(self):
        if self.path == "/now":
            for own, root, filters, off in look(): print("renderer: namespaces %s, root %s, filters %s, --no-sandbox %s" % (own, root, filters, off), flush=True)
        self.send_response(200); self.end_headers()
        self.wfile.write(b"" if self.path == "/now" else b"<p id=a></p><script>fetch('/now').then(() => document.title = 'told')</script>")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
subprocess.run(["chromium", "--headless", "--dump-dom", "--virtual-time-budget=10000", "http://127.0.0.1:%d/" % server.server_port], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
`

// Chromium confines its own renderers: user, PID and network namespaces, an empty root, and
// filters of its own besides the container's.
func TestBrowserConfinesItself(t *testing.T) {
	o := newOperator(t)
	const want = "renderer: namespaces {'user': True, 'pid': True, 'net': True}, root True, filters True, --no-sandbox False\n"
	for _, flags := range [][]string{nil, {"--no-fuse"}, {"--access", "full"}} {
		r := o.InCore("u", slices.Concat([]string{"-q"}, flags, []string{"--", "python3", "-c", looksAtTheRenderer})...)
		if r.Code != 0 || r.Stdout == "" || strings.ReplaceAll(r.Stdout, want, "") != "" {
			t.Errorf("%v: %v", flags, r)
		}
	}
	// The engine's own profile allows user namespaces to a container with SYS_ADMIN alone, and not
	// what else Chromium needs in them.
	r := harness.Engine(t, nil, "run", "--rm", "--network", "none", "--cap-drop", "ALL", "--cap-add", "SYS_ADMIN", catalog.Reference("", "core", ""),
		"chromium", "--headless", "--dump-dom", "data:text/html,<p>shown</p>")
	if r.Code != 0 || !strings.Contains(r.Stdout, "<p>shown</p>") || !strings.Contains(r.Stderr, "running with --no-sandbox") {
		t.Errorf("with the engine's profile: %v", r)
	}
}

// Files in memory take up all that there is, and stay when the processes have been ended:
// the home is saved all the same.
func TestHomeIsSavedWhenMemoryFilesystemsAreFull(t *testing.T) {
	o := newOperator(t)
	// More than the limit, in each of them.
	r := o.InBase("u", "--sandbox-id", "full", "--access", "restricted", "--log-level", "info", "--memory", "256m", "--shm-size", "256m", "--tmp-size", "256m", "--", "bash", "-c",
		`for n in {1..200}; do head -c 100000 /dev/urandom >~/file$n; done; echo kept >~/file; head -c 300M /dev/zero >/dev/shm/x; head -c 300M /dev/zero >/tmp/x; head -c 300M /dev/zero >/var/tmp/x; exit 7`)
	// Whose end the kernel chooses, the shell's or what it has started, is the kernel's.
	if r.Code != 7 && r.Code != 137 || strings.Contains(r.Stderr, "NOT saved") || !strings.Contains(r.Stderr, "the memory limit of 256 MB ended") {
		t.Errorf("it ended as %v", r)
	}
	if n := strings.Count(r.Stderr, `"scratch_freed"`); n != 3 {
		t.Errorf("%d file systems in memory have been taken away: %v", n, r)
	}
	harness.NothingLeft(t, "full")
	if r := o.InBase("u", "-q", "--", "bash", "-c", "cat ~/file; ls ~ | wc -l"); r.Stdout != "kept\n201\n" {
		t.Errorf("the next one finds %v", r)
	}
}
