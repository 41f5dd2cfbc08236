package engine

import (
	"slices"
	"testing"

	"github.com/moby/moby/api/types/system"
)

func TestConfinement(t *testing.T) {
	h := Spec{FUSE: true, Private: []string{"/private"}, Limits: Limits{Tmp: 1 << 20}, Confinement: Confinement{
		ReadOnly: true, Seccomp: `{"x":1}`, AppArmor: "ours",
		Scratch: []Scratch{{Path: "/var/tmp", Size: 4096, Mode: 0o1777}, {Path: "/cache", Mode: 0o700, UID: 1000}},
	}}.host(true)
	if !h.ReadonlyRootfs || !slices.Equal(h.SecurityOpt, []string{"no-new-privileges:true", `seccomp={"x":1}`, "apparmor=ours"}) {
		t.Errorf("read-only %t, %v", h.ReadonlyRootfs, h.SecurityOpt)
	}
	for at, want := range map[string]string{
		"/tmp":     "rw,exec,nosuid,nodev,mode=1777,size=1048576",
		"/var/tmp": "rw,exec,nosuid,nodev,mode=1777,size=4096",
		"/cache":   "rw,exec,nosuid,nodev,mode=0700,uid=1000,gid=1000",
		"/private": "rw,nosuid,nodev,noexec,mode=0700,size=64k",
	} {
		if h.Tmpfs[at] != want {
			t.Errorf("%s is %q, want %q", at, h.Tmpfs[at], want)
		}
	}
	if h := (Spec{}).host(false); h.ReadonlyRootfs || len(h.SecurityOpt) != 1 || h.Sysctls["kernel.shm_rmid_forced"] != "1" {
		t.Errorf("by default: %+v", h)
	}
}

// What the engine says of itself, in the forms that it has had.
func TestWhatAnEngineConfinesBy(t *testing.T) {
	i := system.Info{SecurityOptions: []string{"name=apparmor", "name=seccomp,profile=builtin", "name=cgroupns"}}
	if !confines(i.SecurityOptions, "apparmor") || !confines(i.SecurityOptions, "seccomp") || confines(i.SecurityOptions, "selinux") || confines(nil, "seccomp") {
		t.Error("it is taken for another one")
	}
}
