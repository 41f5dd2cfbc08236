package access

import (
	"strings"
	"testing"
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
			// The daemon finds a session within a moment. Where it can set no floor, the score is lowered.
			const found = `until grep -q /workload /proc/self/cgroup; do :; done; echo 0 2>/dev/null >/proc/$BASHPID/oom_score_adj; `
			said := o.OK("exec", id, "--", "bash", "-c", found+`until test -e ~/file; do :; done; echo found`)
			if said != "found" {
				t.Errorf("a session says %q", said)
			}
			for _, attack := range []string{
				`for f in /dev/shm/x /tmp/x /var/tmp/x; do head -c 600M /dev/zero >$f; done`,
				`tail /dev/zero`,
				`for i in 1 2 3 4; do tail /dev/zero & done; wait`,
				`bomb() { head -c 20M /dev/zero | tail & bomb; }; for i in {1..20}; do bomb & done; wait`,
			} {
				o.Do(nil, "exec", id, "--", "bash", "-c", found+attack)
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
				if v.UID != 1000 && !strings.HasPrefix(v.Name, "runc:") {
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
