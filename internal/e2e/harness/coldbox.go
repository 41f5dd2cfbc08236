package harness

import (
	"encoding/json"
	"strconv"
	"strings"
	"syscall"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/contract"
)

// ColdBox is a running sandbox of core, as `sandbox run` starts it.
type ColdBox struct {
	*Operator
	Name string
}

// ColdBox starts one with the cold path.
func (o *Operator) ColdBox(id string, flags ...string) *ColdBox {
	o.T.Helper()
	args := append([]string{"run", "--image", catalog.Reference("", "core", ""), "--user-id", "u", "--sandbox-id", id, "--detach"}, flags...)
	o.OK(args...)
	return &ColdBox{o, "sandbox-" + id}
}

// Agent runs a script in the cold path as the agent does; what it printed, trimmed.
func (b *ColdBox) Agent(script string) string {
	b.T.Helper()
	r := b.Try(script)
	if r.Code != 0 {
		b.T.Fatalf("%s\n%v", script, r)
	}
	return strings.TrimSpace(r.Stdout)
}

// Try runs a script as the agent.
func (b *ColdBox) Try(script string) Result {
	b.T.Helper()
	return Engine(b.T, nil, "exec", "--user", "1000", "--workdir", contract.DefaultHotPath, b.Name, "bash", "-uc", "set -o pipefail; "+script)
}

// Status is what sandbox-init says of itself.
func (b *ColdBox) Status() (s contract.State, st contract.StorageStatus) {
	b.T.Helper()
	var r struct {
		State   *contract.State
		Storage *contract.StorageStatus
	}
	r.State, r.Storage = &s, &st
	if err := json.Unmarshal([]byte(b.Agent("sandbox-init status --json")), &r); err != nil {
		b.T.Fatal(err)
	}
	return s, st
}

// KillStorage is SIGKILL to the storage process.
func (b *ColdBox) KillStorage() {
	b.T.Helper()
	s, _ := b.Status()
	EngineOK(b.T, "exec", "--user", "0", b.Name, "kill", "-9", strconv.Itoa(s.StoragePID))
}

// Device is the number of the file system that is at the cold path.
func (b *ColdBox) Device() string {
	b.T.Helper()
	return b.Agent(`awk '$5 == "/data/cold" {print $3}' /proc/self/mountinfo`)
}

// PauseStore stops the embedded S3, so that no other one is started and requests hang.
func (b *ColdBox) PauseStore() (resume func()) {
	b.T.Helper()
	pid := b.DaemonPID()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		b.T.Fatal(err)
	}
	on := func() { _ = syscall.Kill(pid, syscall.SIGCONT) }
	b.T.Cleanup(on)
	return on
}
