package privilege

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const probeVariable = "PRIVILEGE_TEST_PROBE"

func TestMain(m *testing.M) {
	if os.Getenv(probeVariable) != "" {
		os.Exit(probe())
	}
	os.Exit(m.Run())
}

// probe looks from the main goroutine, as PID 1 does, and says what the process has been and is.
func probe() int {
	before := identity()
	for range 100 {
		if AgentReaches("/root/none") || !AgentReaches("/etc/passwd") {
			fmt.Println("the answers are wrong")
			return 1
		}
	}
	fmt.Printf("%s, then %s\n", before, identity())
	return 0
}

// identity is that of the main thread, which /proc shows as the process's.
func identity() string {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err.Error()
	}
	var lines []string
	for line := range strings.Lines(string(b)) {
		switch name, _, _ := strings.Cut(line, ":"); name {
		case "Uid", "Gid", "Groups", "CapEff":
			lines = append(lines, strings.Join(strings.Fields(line), " "))
		}
	}
	return strings.Join(lines, " ")
}

// TestProbeLeavesTheProcessRoots: the main thread keeps the identity that it was given for ever, and the agent could set
// the priority of one of its own.
func TestProbeLeavesTheProcessRoots(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("run this test as root, as PID 1 is")
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), probeVariable+"=1")
	out, err := cmd.CombinedOutput()
	if before, after, ok := strings.Cut(strings.TrimSpace(string(out)), ", then "); err != nil || !ok || before != after {
		t.Errorf("it was %s, %v", out, err)
	}
}
