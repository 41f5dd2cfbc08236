//go:build long

package run

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/e2e/harness"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// A workspace is what the model knows of one user: the sandbox that has it, and what its files may hold.
type workspace struct {
	m     *model
	user  string
	id    string // of its sandbox, the last one
	state lifeState
	files map[string][]string // by name: what it may hold; the newest last, empty for a file that is not there
	hurt  bool                // its storage was killed in this life
}

type lifeState int

const (
	none    lifeState = iota // no sandbox has it
	running                  // a sandbox runs, and is ready
	kept                     // its sandbox was killed, and has kept it
)

// modelTime is how long the model of commands and kills runs: 10 minutes, or MODEL_TIME. SEED repeats a run, as far as
// the machine's own order of things allows.
func modelTime() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("MODEL_TIME")); err == nil {
		return d
	}
	return 10 * time.Minute
}

// model runs commands at random on a few workspaces of one operator, and knows what must be there.
type model struct {
	t      *testing.T
	o      *harness.Operator
	random *rand.Rand
	n      int
}

// saved says that the newest contents are in S3.
func (w *workspace) saved() {
	for name, may := range w.files {
		w.files[name] = may[len(may)-1:]
	}
}

// wrote says that a command has written, or removed, a file and ended well.
func (w *workspace) wrote(name, content string) {
	if w.files[name] == nil {
		w.files[name] = []string{""}
	}
	w.files[name] = append(w.files[name], content)
}

// holds compares the files that a sandbox has with what they may hold. What was read from S3 is what they hold.
func (w *workspace) holds(listing string, newest bool) {
	w.m.t.Helper()
	got := make(map[string]string)
	for line := range strings.Lines(listing) {
		if name, content, _ := strings.Cut(strings.TrimSpace(line), " "); name != "" {
			got[name] = content
		}
	}
	for name, may := range w.files {
		content := got[name]
		delete(got, name)
		if newest && content != may[len(may)-1] || !slices.Contains(may, content) {
			w.m.t.Fatalf("%s of %s holds %q, and not one of %q (the newest: %t)", name, w.user, content, may, newest)
		}
		if !newest { // it has come from S3; what a life has on its disk may be lost with it
			w.files[name] = []string{content}
		}
	}
	if len(got) != 0 {
		w.m.t.Fatalf("%s also has %q", w.user, got)
	}
}

const listFiles = `cd; for f in f*; do [ -e "$f" ] && echo "$f $(cat "$f")"; done; true`

func (w *workspace) name() string { return "sandbox-" + w.id }

// docker calls the engine as another client of it does.
func (w *workspace) docker(args ...string) error {
	out, err := exec.Command("docker", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("docker %q: %w: %s", args, err, out)
	}
	return nil
}

func (w *workspace) must(err error) {
	w.m.t.Helper()
	if err != nil {
		w.m.t.Fatal(err)
	}
}

// run starts a sandbox: a detached one, or one whose program is killed.
func (w *workspace) run() {
	w.m.n++
	w.id, w.hurt = "model-"+w.user+"-"+strconv.Itoa(w.m.n), false
	args := []string{"run", "--image", "matrx-sandbox-base:latest", "--user-id", w.user, "--sandbox-id", w.id}
	if w.m.random.IntN(2) == 0 {
		w.m.o.OK(append(args, "--detach")...)
	} else {
		p := w.m.o.Start(args...)
		w.m.o.AwaitStart(w.id, func(r datadir.Record, st contract.State) bool { return st.Ready && !r.FirstLife.IsZero() })
		p.Signal(syscall.SIGKILL)
		p.End()
	}
	w.state = running
	w.check(false)
}

func (w *workspace) check(newest bool) {
	w.m.t.Helper()
	w.holds(w.m.o.OK("exec", w.id, "--", "sh", "-c", listFiles), newest)
}

func (w *workspace) write() {
	w.m.n++
	file, content := "f"+strconv.Itoa(w.m.random.IntN(4)), "v"+strconv.Itoa(w.m.n)
	script := "echo " + content + " >~/" + file
	if w.m.random.IntN(4) == 0 {
		script, content = "rm -f ~/"+file, ""
	}
	w.m.o.OK("exec", w.id, "--", "sh", "-c", script)
	w.wrote(file, content)
}

// ended is the verdict on a sandbox that has ended.
func (w *workspace) ended() {
	w.m.t.Helper()
	switch e := w.m.o.AwaitEnded(w.id); {
	case e.Kept && w.m.o.HasHome(w.id):
		w.state = kept
	case e.Removed && e.Saved():
		w.state = none
		w.saved()
	default:
		w.m.t.Fatalf("%s has ended as %+v, with a home: %t", w.id, e, w.m.o.HasHome(w.id))
	}
}

func (w *workspace) stop() {
	w.m.o.OK("stop", w.id)
	if w.ended(); w.state != none {
		w.m.t.Fatalf("%s was stopped and is kept", w.id)
	}
}

// killed ends a life without a flush.
func (w *workspace) killed(how func()) {
	how()
	if w.ended(); w.state != kept {
		w.m.t.Fatalf("%s was killed and is not kept", w.id)
	}
}

func (w *workspace) remove() {
	if r := w.m.o.Do(nil, "rm", w.id); r.Code == 0 {
		w.m.t.Fatalf("rm without force: %v", r)
	}
	w.m.o.OK("rm", "--force", w.id)
	if w.m.o.HasHome(w.id) || w.m.o.SandboxDir(w.id).Exists() {
		w.m.t.Fatalf("%s is left", w.id)
	}
	w.state = none // what was not saved may be in S3 or not
}

func (w *workspace) save() {
	if r := w.m.o.Do(nil, "save", w.id); r.Code != 0 {
		w.m.t.Fatalf("save: %v", r)
	}
	if w.ended(); w.state != none {
		w.m.t.Fatalf("%s was saved and is kept", w.id)
	}
}

// again waits for a life that another client of the engine has begun, if it has.
func (w *workspace) again(begun error) {
	if begun != nil {
		w.m.t.Logf("not started: %v", begun)
		w.ended()
		return
	}
	w.m.o.OK("ps") // by which a daemon takes it up, at the latest
	w.m.o.AwaitStart(w.id, func(r datadir.Record, st contract.State) bool { return st.Ready && r.Ended == nil })
	w.state, w.hurt = running, false
	w.check(true)
}

// commit makes an image and a container of the sandbox's, with its labels: neither is a sandbox.
func (w *workspace) commit() {
	ref := "matrx-sandbox-model:" + strings.ToLower(w.id)
	w.must(w.docker("commit", w.name(), ref))
	defer func() { w.must(w.docker("image", "rm", ref)) }()
	w.must(w.docker("create", "--name", "copy-"+w.id, ref))
	defer func() { w.must(w.docker("rm", "copy-"+w.id)) }()
	if l := w.m.o.List(); !l[w.id].Running {
		w.m.t.Fatalf("with a copy ps says %+v", l)
	}
	w.check(true)
}

// killStorage kills the storage process, which PID 1 starts again.
func (w *workspace) killStorage() {
	if w.hurt {
		return
	}
	w.hurt = true
	top, err := exec.Command("docker", "top", w.name(), "-eo", "pid,args").Output()
	w.must(err)
	for line := range strings.Lines(string(top)) {
		if f := strings.Fields(line); len(f) == 3 && strings.HasSuffix(f[1], "sandbox-init") && f[2] == "storage" {
			w.must(syscall.Kill(atoi(w.m.t, f[0]), syscall.SIGKILL))
			return
		}
	}
	w.m.t.Fatalf("there is no storage process in\n%s", top)
}

// killDaemon kills the daemon, and its guard before it or not. There is one while a sandbox runs.
func (m *model) killDaemon() {
	pid := m.o.DaemonPID()
	if m.random.IntN(2) == 0 {
		for _, child := range children(m.t, pid) {
			_ = syscall.Kill(child, syscall.SIGKILL) // it may have ended
		}
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		m.t.Fatal(err)
	}
	harness.AwaitDeath(m.t, pid)
	m.o.OK("ps")
}

// children are the guards of a daemon: the embedded S3 is in its own process.
func children(t *testing.T, pid int) (out []int) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range strings.Fields(string(b)) {
		out = append(out, atoi(t, f))
	}
	return out
}

// step does one thing at random that may be done in the state that the workspace is in.
func (w *workspace) step() {
	may := map[lifeState]map[string]func(){
		none: {"run": w.run},
		running: {
			"write": w.write, "write again": w.write, "write once more": w.write,
			"check": func() { w.check(true) }, "stop": w.stop, "rm": w.remove, "commit": w.commit, "kill storage": w.killStorage,
			"kill":        func() { w.killed(func() { w.m.o.Do(nil, "kill", w.id) }) },
			"docker kill": func() { w.killed(func() { w.must(w.docker("kill", w.name())) }) },
			"docker rm":   func() { w.killed(func() { w.must(w.docker("rm", "--force", "--volumes", w.name())) }) },
			"docker stop": func() { w.must(w.docker("stop", w.name())); w.ended() },
			"restart":     func() { w.again(w.docker("restart", w.name())) },
			"pause": func() {
				w.must(w.docker("pause", w.name()))
				w.must(w.docker("unpause", w.name()))
				w.check(true)
			},
			"kill the daemon": w.m.killDaemon,
		},
		kept: {"save": w.save, "rm": w.remove},
	}[w.state]
	if w.state == kept && exec.Command("docker", "inspect", w.name()).Run() == nil {
		may["docker start"] = func() { w.again(w.docker("start", w.name())) }
	}
	names := slices.Sorted(maps.Keys(may))
	name := names[w.m.random.IntN(len(names))]
	w.m.t.Logf("%s: %s (%s)", w.user, name, w.id)
	may[name]()
	l, there := w.m.o.List()[w.id]
	if there != (w.state != none) || l.Running != (w.state == running) {
		w.m.t.Fatalf("after %s of %s in the state %d ps says %+v", name, w.id, w.state, l)
	}
}

// Commands, kills and other clients of the engine come in any order: what was written and saved is in the next
// sandbox, what was killed is kept, and in the end nothing is left.
func TestRunModelOfCommandsAndKills(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("SEED=%d", seed)
	m := &model{t: t, o: harness.NewOperator(t), random: rand.New(rand.NewPCG(seed, 0))}
	var all []*workspace
	for _, user := range []string{"ann", "bob"} {
		all = append(all, &workspace{m: m, user: user, files: make(map[string][]string)})
	}
	for began := time.Now(); time.Since(began) < modelTime(); {
		all[m.random.IntN(len(all))].step()
	}
	for _, w := range all {
		switch w.state {
		case running:
			w.stop()
		case kept:
			w.save()
		}
		w.holds(m.o.OK("run", "--image", "matrx-sandbox-base:latest", "--user-id", w.user, "-q", "--", "sh", "-c", listFiles), false)
	}
	m.o.AwaitNoDaemon()
	if left := madeBy(t, m.o); len(left) != 0 {
		t.Errorf("the engine still has %q", left)
	}
	for _, pattern := range []string{"trash/*", "sandboxes/*/home", "sandboxes/*/disk", "sandboxes/.*"} {
		if left, err := filepath.Glob(filepath.Join(m.o.DataDir, pattern)); err != nil || len(left) != 0 {
			t.Errorf("the data directory still has %q, %v", left, err)
		}
	}
}
