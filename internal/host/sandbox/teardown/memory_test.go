package teardown

import (
	"fmt"
	"golang.org/x/sys/unix"
	"strings"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

func TestParseVictim(t *testing.T) {
	id := strings.Repeat("ab", 32)
	const head = "6,1,2,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0,oom_memcg="
	for record, want := range map[string]datadir.Victim{
		head + "/docker/" + id + ",task_memcg=/docker/" + id + ",task=tail,pid=4711,uid=1000":                                                         {Name: "tail", PID: 4711, UID: 1000},
		head + "/system.slice/docker-" + id + ".scope,task_memcg=/system.slice/docker-" + id + ".scope,task=sandbox-init,pid=9,uid=0\n SUBSYSTEM=x\n": {Name: "sandbox-init", PID: 9},
		// The workload's own cgroup.
		head + "/docker/" + id + "/workload,task_memcg=/docker/" + id + "/workload,task=tail,pid=5,uid=1000": {Name: "tail", PID: 5, UID: 1000},
		// A name that looks like the fields that follow it.
		head + "/docker/" + id + ",task_memcg=/docker/" + id + ",task=a,pid=1,uid=0,pid=5,uid=1000": {Name: "a,pid=1,uid=0", PID: 5, UID: 1000},
	} {
		if got, ok := parseVictim(record, id); !ok || got != want {
			t.Errorf("%q: %+v, %t", record, got, ok)
		}
	}
	other := strings.Repeat("cd", 32)
	for _, record := range []string{
		"", "6,1,2,-;Memory cgroup out of memory: Killed process 4711 (tail)",
		head + "/docker/" + other + ",task_memcg=/docker/" + other + ",task=tail,pid=1,uid=0",
		// The name of another program's process is no proof.
		head + "/docker/" + other + ",task_memcg=/docker/" + other + ",task=" + id + ",pid=1,uid=0",
		head + "/docker/" + id + ",task_memcg=/docker/" + id + ",task=tail,pid=x,uid=0",
	} {
		if got, ok := parseVictim(record, id); ok {
			t.Errorf("%q: %+v", record, got)
		}
	}
	if _, ok := parseVictim(head+"/,task_memcg=/,task=tail,pid=1,uid=0", ""); ok {
		t.Error("no container is every container")
	}
}

func TestOfMemory(t *testing.T) {
	for want, got := range map[string]string{
		"the memory limit ended processes":                ofMemory("", 0, nil),
		`x; the memory limit of 256 MB ended "tail"`:      ofMemory("x", 256<<20, []datadir.Victim{{Name: "tail"}}),
		`the memory limit ended "b", "c", "d" and 1 more`: ofMemory("", 0, []datadir.Victim{{Name: "a"}, {Name: "b"}, {Name: "c"}, {Name: "d"}}),
		`the memory limit ended "\x1b[2J"`:                ofMemory("", 0, []datadir.Victim{{Name: "\x1b[2J"}}),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestAgeOfKernelRecord(t *testing.T) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		t.Fatal(err)
	}
	record := fmt.Sprintf("6,1,%d,-;oom-kill:", now.Nano()/1000-3_600_000_000)
	if a := age(record); a < time.Hour || a > time.Hour+time.Minute {
		t.Errorf("%q is %s old, want an hour", record, a)
	}
	for _, record := range []string{"", "6,1", "6,1,x,-;oom-kill:"} {
		if a := age(record); a != 0 {
			t.Errorf("%q is %s old", record, a)
		}
	}
}
