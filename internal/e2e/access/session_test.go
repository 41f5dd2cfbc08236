package access

import "testing"

// TestSessionHasRightsOfCommand: an exec'd session is to the kernel what the sandbox's own
// command is.
func TestSessionHasRightsOfCommand(t *testing.T) {
	const rights = `grep -E "^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp:|SigIgn|SigBlk)" /proc/self/status; cat /proc/self/oom_score_adj; ulimit -a`
	for _, flags := range [][]string{nil, {"--no-fuse"}} {
		o := newOperator(t)
		id := o.OK(append(append([]string{"run", "--image", "matrx-sandbox-base:latest", "--user-id", "u", "--detach"}, flags...),
			"--", "bash", "-c", "("+rights+") >~/command.new; mv ~/command.new ~/command; exec sleep 1000")...)
		session := o.OK("exec", id, "--", "bash", "-c", rights)
		command := o.OK("exec", id, "--", "bash", "-c", "until test -e ~/command; do :; done; cat ~/command")
		if session != command {
			t.Errorf("%v: a session has\n%s\nthe command\n%s", flags, session, command)
		}
		o.OK("stop", id)
	}
}
