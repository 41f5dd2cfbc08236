package run

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/e2e/harness"
)

func itoa(n int) string { return strconv.Itoa(n) }

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// capabilities are the bits of capabilities(7) that house.md lists.
func capabilities(t *testing.T, names ...string) string {
	t.Helper()
	bit := map[string]uint{"CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "KILL": 5, "SETGID": 6, "SETUID": 7, "SETPCAP": 8, "SYS_ADMIN": 21}
	var set uint64
	for _, n := range names {
		set |= 1 << bit[n]
	}
	h := strconv.FormatUint(set, 16)
	return strings.Repeat("0", 16-len(h)) + h
}

// The container has the rights that sandbox-init needs, and no others.
func TestContainerHasTheLeastRights(t *testing.T) {
	o := harness.NewOperator(t)
	least := []string{"SETUID", "SETGID", "SETPCAP", "KILL", "CHOWN", "FOWNER", "DAC_OVERRIDE"}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Fatalf("this test needs /dev/fuse: %v; run modprobe fuse", err)
	}
	for _, tc := range []struct {
		flags []string
		caps  string
		fuse  bool
	}{
		{nil, capabilities(t, append(least, "SYS_ADMIN")...), true},
		{[]string{"--no-fuse"}, capabilities(t, least...), false},
	} {
		args := append(tc.flags, "-q", "--", "rights")
		if r := o.Run(nil, "u", args...); !strings.Contains(r.Stdout, "Uid: 0 0 0 0") || !strings.Contains(r.Stdout, "CapBnd: "+tc.caps) ||
			!strings.Contains(r.Stdout, "CapEff: "+tc.caps) || !strings.Contains(r.Stdout, "NoNewPrivs: 1") {
			t.Errorf("%v: it has %v, want capabilities %s", tc.flags, r, tc.caps)
		}
		args = append(tc.flags, "-q", "--", "look", "/dev/fuse")
		if r := o.Run(nil, "u", args...); strings.Contains(r.Stdout, "uid 0") != tc.fuse {
			t.Errorf("%v: %v", tc.flags, r)
		}
	}
}

// The socket is open to every user by its mode, and lies where only root may enter, also when
// the operator is UID 1000 on the host, which is the agent inside.
func TestHostSocketIsRootsAlone(t *testing.T) {
	for name, uid := range map[string]int{"root": 0, "the agent's UID": contract.AgentUID} {
		t.Run(name, func(t *testing.T) {
			o := harness.NewOperator(t)
			o.As(uid)
			id := o.OK("run", "--image", harness.FakeinitImage, "--user-id", "u", "--detach")
			r := o.Run(nil, "v", "-q", "--", "look", contract.HostDir, contract.HostDir+"/sockets", contract.HostDir+"/sockets/storage.sock")
			want := contract.HostDir + " 40700 uid 0\n" +
				contract.HostDir + "/sockets 40700 uid " + itoa(uid) + "\n" +
				contract.HostDir + "/sockets/storage.sock 140666 uid " + itoa(uid) + "\n"
			if r.Stdout != want {
				t.Errorf("it looks like %v\nwant %s", r, want)
			}
			if got := o.OK("exec", id, "--", "/fakeinit", "do", "look", contract.HostDir+"/sockets"); !strings.Contains(got, "permission denied") {
				t.Errorf("the agent sees %s", got)
			}
			if fi, err := os.Stat(o.SandboxDir(id).HostDir()); err != nil || fi.Mode().Perm() != 0o700 {
				t.Errorf("on the host it is %v, %v", fi.Mode(), err)
			}
			o.OK("stop", id)
		})
	}
}

// What is mounted and set, as the engine tells it.
func TestContainerIsStartedAsDocumented(t *testing.T) {
	o := harness.NewOperator(t)
	id := o.OK("run", "--image", harness.FakeinitImage, "--user-id", "u", "--detach", "--stop-timeout", "45", "-e", "FOO=bar baz", "-e", "FROM_HERE", "-e", "NOT_HERE")
	var c struct {
		Config struct {
			StopTimeout int
			Env         []string
			Labels      map[string]string
		}
		HostConfig struct {
			NetworkMode, RestartPolicy any
			Privileged                 bool
		}
		Mounts []struct{ Type, Name, Source, Destination string }
	}
	if err := json.Unmarshal([]byte(harness.EngineOK(t, "inspect", "--format", "{{json .}}", "sandbox-"+id)), &c); err != nil {
		t.Fatal(err)
	}
	if c.Config.StopTimeout != 50 || c.HostConfig.Privileged {
		t.Errorf("stop timeout %d, privileged %t", c.Config.StopTimeout, c.HostConfig.Privileged)
	}
	env := strings.Join(c.Config.Env, "\n") + "\n"
	for _, want := range []string{"SANDBOX_ID=" + id, "USER_ID=u", "SHUTDOWN_TIMEOUT_SECONDS=45", "S3_BUCKET=workspaces", "S3_PREFIX=users/",
		"S3_ENDPOINT=unix:///run/sandbox-host/sockets/storage.sock", "FOO=bar baz"} {
		if !strings.Contains(env, want+"\n") {
			t.Errorf("%s is not in\n%s", want, env)
		}
	}
	if strings.Contains(env, "NOT_HERE") || strings.Contains(env, "AWS_") || strings.Contains(env, "KEY") {
		t.Errorf("too much is in\n%s", env)
	}
	if c.Config.Labels["dev.matrx.sandbox.sandbox-id"] != id || c.Config.Labels["dev.matrx.sandbox.data-dir"] != o.DataDir {
		t.Errorf("labels %v", c.Config.Labels)
	}
	found := map[string]string{}
	for _, m := range c.Mounts {
		found[m.Destination] = m.Type + " " + strings.TrimPrefix(m.Source, filepath.Join(o.DataDir, "sandboxes", id))
	}
	for at, want := range map[string]string{
		"/home/agent": "bind /home", "/var/lib/sandbox": "bind /state",
		"/run/sandbox": "bind /run", "/run/sandbox-host/sockets": "bind /host",
	} {
		if found[at] != want {
			t.Errorf("%s is %q, want %q", at, found[at], want)
		}
	}
	o.OK("stop", id)
}

// The time of a stop is the image's own when the image alone gives one.
func TestStopTimeoutIsTheImages(t *testing.T) {
	o := harness.NewOperator(t)
	ref := harness.Ref("patient")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM "+harness.FakeinitImage+"\nENV SHUTDOWN_TIMEOUT_SECONDS=77\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	harness.EngineOK(t, "build", "-q", "-t", ref, dir)
	t.Cleanup(func() {
		if out, err := exec.Command("docker", "image", "rm", ref).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
	id := o.OK("run", "--image", ref, "--user-id", "u", "--detach")
	if got := harness.EngineOK(t, "inspect", "--format", "{{.Config.StopTimeout}}", "sandbox-"+id); got != "82" {
		t.Errorf("the engine waits %s s", got)
	}
	o.OK("stop", id)
}
