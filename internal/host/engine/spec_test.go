package engine

import (
	"errors"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/mount"
)

// What a sandbox's container is made with: house.md lists it, and nothing may creep in.
func TestTheContainerHasTheLeastRights(t *testing.T) {
	s := Spec{Name: "n", Image: "i", StopTimeout: 35*time.Second + 900*time.Millisecond, Private: []string{"/private"},
		Labels:  map[string]string{"l": "x"},
		Volumes: []Volume{{Name: "v", Target: "/home"}}, Binds: []Mount{{"/host", "/in"}}}
	c, h := s.config(), s.host(true)
	if c.User != "0" || *c.StopTimeout != 35 || c.Tty || c.OpenStdin {
		t.Errorf("config %+v", c)
	}
	if !slices.Equal(h.CapDrop, []string{"ALL"}) || !slices.Equal(h.CapAdd, capabilities) || !slices.Equal(h.SecurityOpt, []string{"no-new-privileges:true"}) {
		t.Errorf("drops %v, adds %v, %v", h.CapDrop, h.CapAdd, h.SecurityOpt)
	}
	if h.Privileged || h.AutoRemove || len(h.Devices) != 0 || h.NetworkMode != "" || h.PidMode != "" || h.IpcMode != "" || h.UsernsMode != "" || h.MaskedPaths != nil {
		t.Errorf("host config %+v", h)
	}
	want := []mount.Mount{
		{Type: mount.TypeVolume, Source: "v", Target: "/home", VolumeOptions: &mount.VolumeOptions{Labels: s.Labels}},
		{Type: mount.TypeBind, Source: "/host", Target: "/in"},
	}
	if !reflect.DeepEqual(h.Mounts, want) || !strings.Contains(h.Tmpfs["/private"], "mode=0700") {
		t.Errorf("mounts %+v, %v", h.Mounts, h.Tmpfs)
	}
	if h.LogConfig.Config["max-size"] == "" {
		t.Error("its log has no bound")
	}
}

// The mount of the cold path takes one capability and one device more, and where there is
// AppArmor its usual profile gives way.
func TestFUSE(t *testing.T) {
	if !exists(fuseDevice) {
		t.Fatalf("this test needs %s; run modprobe fuse", fuseDevice)
	}
	for _, apparmor := range []bool{false, true} {
		h := Spec{FUSE: true}.host(apparmor)
		if !slices.Equal(h.CapAdd, append(slices.Clone(capabilities), "SYS_ADMIN")) || len(h.Devices) != 1 {
			t.Errorf("adds %v, %v", h.CapAdd, h.Devices)
		}
		if slices.Contains(h.SecurityOpt, "apparmor=unconfined") != apparmor {
			t.Errorf("with AppArmor %t: %v", apparmor, h.SecurityOpt)
		}
	}
	if slices.Contains(capabilities, "SYS_ADMIN") {
		t.Error("the list that everybody gets has changed")
	}
}

func TestOnlyAnEngineOnThisMachine(t *testing.T) {
	for host, ok := range map[string]bool{
		"unix:///var/run/docker.sock": true, "unix:///run/user/1000/docker.sock": true,
		"tcp://127.0.0.1:2375": false, "ssh://host": false, "npipe:////./pipe/docker": false, "": false,
	} {
		if err := onThisMachine(host); (err == nil) != ok {
			t.Errorf("%q: %v", host, err)
		}
	}
}

func TestADeniedSocketSaysHowToGetIn(t *testing.T) {
	err := cannotReach("unix:///x", &fs.PathError{Op: "dial", Path: "/x", Err: fs.ErrPermission})
	if !errors.Is(err, ErrNoEngine) || !strings.Contains(err.Error(), "usermod -aG docker") {
		t.Errorf("it says %v", err)
	}
	if err := cannotReach("unix:///x", fs.ErrNotExist); !strings.Contains(err.Error(), "ensure-engine.sh") {
		t.Errorf("it says %v", err)
	}
}
