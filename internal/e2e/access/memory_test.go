package access

import (
	"strings"
	"testing"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/e2e/harness"
)

// TestMemoryIsDividedBetweenStorageAndWorkload: sessions fill every file system in memory, take all that processes can
// and fork, with the lowest score that they can have; PID 1 and storage live, and the home is saved.
func TestMemoryIsDividedBetweenStorageAndWorkload(t *testing.T) {
	for _, tc := range []struct {
		name  string
		flags []string
	}{
		{"with-fuse", nil},
		// Without SYS_ADMIN nothing of what the files take is given back before the flush.
		{"without-fuse", []string{"--no-fuse"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := newOperator(t)
			id := o.OK(append(append([]string{"run", "--image", "matrx-sandbox-base:latest", "--user-id", "u", "--detach", "--access", "restricted", "--log-level", "info",
				"--sandbox-id", tc.name, "--memory", "256m", "--shm-size", "256m", "--tmp-size", "256m"}, tc.flags...),
				"--", "bash", "-c", `for n in {1..200}; do head -c 100000 /dev/urandom >~/file$n; done; echo kept >~/file; exec sleep 1000`)...)
			o.OK("exec", id, "--", "bash", "-c", `until test -e ~/file; do :; done`)
			const lower = `echo 0 2>/dev/null >/proc/$BASHPID/oom_score_adj; ` // where the daemon can set no floor
			for _, attack := range []string{
				// Each of them ends at once, and no look through /proc meets one.
				`link() { head -c 4M /dev/zero >/dev/shm/$BASHPID || exit; link & exit; }; link`,
				`for f in /dev/shm/x /tmp/x /var/tmp/x; do head -c 600M /dev/zero >$f; done`,
				`tail /dev/zero`,
				`for i in 1 2 3 4; do tail /dev/zero & done; wait`,
				`bomb() { head -c 20M /dev/zero | tail & bomb; }; for i in {1..20}; do bomb & done; wait`,
			} {
				o.Do(nil, "exec", id, "--", "bash", "-c", lower+attack)
			}
			if r := o.Do(nil, "stop", id); r.Code != 0 {
				t.Errorf("stop: %v", r)
			}
			e := o.AwaitEnded(id)
			if e.Kept || len(e.OOM) == 0 {
				t.Errorf("it ended %+v, want all saved and processes ended by the limit", e)
			}
			for _, v := range e.OOM {
				// An exec's own beginning, which is root's until it has become the agent, is counted
				// there as well, and may meet a limit that an earlier session has reached.
				// So is the exec server's, which PID 1 executes as /proc/self/exe; of storage, which it executes likewise, the log tells.
				if v.UID != 1000 && v.Name != "exe" && !strings.HasPrefix(v.Name, "runc:") {
					t.Errorf("the kernel ended %+v", v)
				}
			}
			logs := o.Do(nil, "logs", id)
			for _, bad := range []string{"storage_died", "fatal error"} {
				if strings.Contains(logs.Stdout+logs.Stderr, bad) {
					t.Errorf("the log has %s", bad)
				}
			}
			if r := o.InBase("u", "-q", "--", "bash", "-c", "cat ~/file; ls ~ | wc -l"); r.Stdout != "kept\n201\n" {
				t.Errorf("the next one finds %v", r)
			}
		})
	}
}

// TestWorkloadIsBornInItsMemory: the command, an exec and a session of the engine's know no other cgroup from their first
// instruction on, so that no descendant of theirs does. What the engine execs by itself is found, also where it forks and
// ends at once.
func TestWorkloadIsBornInItsMemory(t *testing.T) {
	const (
		cgroup = `mapfile -t all </proc/self/cgroup; printf '%s\n' "${all[@]}"`
		// A link ends the chain where it finds itself in the workload's cgroup.
		chain = `link() { read -rd '' all </proc/self/cgroup; case $all in */workload*) touch /tmp/found; exit; esac; link & exit; }; link`
	)
	o := newOperator(t)
	id := o.OK("run", "--image", "matrx-sandbox-base:latest", "--user-id", "u", "--detach", "--memory", "256m", "--timeout", "5m",
		"--", "bash", "-c", cgroup+` >/tmp/born; exec sleep 1000`)
	container := o.Record(id).Container
	for name, said := range map[string]string{
		"the command": o.OK("exec", id, "--", "bash", "-c", `until test -s /tmp/born; do :; done; cat /tmp/born`),
		"an exec":     o.OK("exec", id, "--", "bash", "-c", cgroup),
		"a session":   harness.EngineOK(t, "exec", "--user", "0:0", container, contract.InitBinary, contract.SessionRole, "bash", "-c", cgroup),
	} {
		if !strings.Contains(said, "/workload") {
			t.Errorf("%s is born in\n%s", name, said)
		}
	}
	harness.EngineOK(t, "exec", "--detach", container, "bash", "-c", chain)
	if r := o.Do(nil, "exec", id, "--", "timeout", "60", "bash", "-c", `until test -e /tmp/found; do :; done`); r.Code != 0 {
		t.Errorf("a chain is not found: %v", r)
	}
	o.OK("stop", id)
}
