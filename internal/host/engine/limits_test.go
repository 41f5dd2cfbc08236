package engine

import (
	"slices"
	"testing"

	"github.com/moby/moby/api/types/system"
)

func TestLimitsOfAContainer(t *testing.T) {
	h := Spec{Private: []string{"/private"}, Limits: Limits{Memory: 256 << 20, CPUs: 0.5, PIDs: 114, OpenFiles: 1024, Tmp: 1 << 20, Shm: 2 << 20}}.host(false)
	if h.Memory != 256<<20 || h.MemorySwap != h.Memory || h.NanoCPUs != 5e8 || h.PidsLimit == nil || *h.PidsLimit != 114 || h.ShmSize != 2<<20 {
		t.Errorf("host config %+v", h)
	}
	if len(h.Ulimits) != 1 || h.Ulimits[0].Name != "nofile" || h.Ulimits[0].Soft != 1024 || h.Ulimits[0].Hard != 1024 {
		t.Errorf("ulimits %+v", h.Ulimits)
	}
	if h.Tmpfs["/tmp"] != "rw,exec,nosuid,nodev,mode=1777,size=1048576" || h.Tmpfs["/private"] == "" {
		t.Errorf("in memory: %v", h.Tmpfs)
	}
	if h := (Spec{}).host(false); h.PidsLimit != nil || h.Memory != 0 || h.Ulimits != nil || h.Tmpfs != nil {
		t.Errorf("without limits: %+v", h)
	}
}

func TestMachineSaysWhatItCannotHold(t *testing.T) {
	m := machine(system.Info{MemTotal: 1 << 30, NCPU: 3, MemoryLimit: true, PidsLimit: true})
	if m.Memory != 1<<30 || m.CPUs != 3 || !slices.Equal(m.Cannot, []string{"swap", "processors"}) {
		t.Errorf("%+v", m)
	}
}

// Where a container's root is not the machine's.
func TestWhoseIDsAContainerHas(t *testing.T) {
	for option, want := range map[string]bool{"name=seccomp,profile=default": false, "name=userns": true, "name=rootless": true} {
		if got := machine(system.Info{SecurityOptions: []string{"name=apparmor", option}}).OtherIDs; got != want {
			t.Errorf("%s: %v", option, got)
		}
	}
}
