package run

import (
	"errors"
	"strings"
	"testing"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/engine/apparmor"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

func TestConfinement(t *testing.T) {
	record := datadir.Record{Limits: datadir.Limits{Tmp: 1 << 20}}
	c, err := Options{}.confinement(record, "/cold")
	if err != nil || c.ReadOnly || c.Scratch != nil || c.Seccomp != "" || c.AppArmor != "" {
		t.Errorf("of a record of before there was any: %+v, %v", c, err)
	}
	record.Confinement = datadir.Confinement{ReadOnlyRoot: true, Seccomp: datadir.SeccompSandbox, AppArmor: "matrx-sandbox-1"}
	c, err = Options{}.confinement(record, "/cold")
	if err != nil || !c.ReadOnly || c.AppArmor != "matrx-sandbox-1" {
		t.Errorf("%+v, %v", c, err)
	}
	if len(c.Scratch) != 3 {
		t.Errorf("in memory: %+v", c.Scratch)
	}
	for _, s := range c.Scratch {
		if s.Path == cacheDir && s.UID != contract.AgentUID || s.Path != "/cold" && s.Size != 1<<20 {
			t.Errorf("%+v", s)
		}
	}
	if c, err := (Options{}).confinement(record, contract.DefaultColdPath); err != nil || len(c.Scratch) != 2 {
		t.Errorf("where the cold path always is: %+v, %v", c, err)
	}
	for _, fuse := range []bool{true, false} {
		for name, namespaces := range map[string]bool{datadir.SeccompSandbox: false, datadir.SeccompBrowser: true} {
			record.Confinement.Seccomp = name
			c, err := Options{NoFUSE: !fuse}.confinement(record, "/cold")
			if err != nil || strings.Contains(c.Seccomp, `"unshare"`) != namespaces || strings.Contains(c.Seccomp, `"umount2"`) != fuse {
				t.Errorf("%s, with FUSE %t: %v, %s", name, fuse, err, c.Seccomp)
			}
		}
	}
	for _, none := range []string{datadir.AppArmorNone, datadir.AppArmorEngine, datadir.AppArmorUnconfined} {
		record.Confinement.AppArmor, record.Confinement.Seccomp = none, datadir.SeccompEngine
		if c, err := (Options{}).confinement(record, "/cold"); err != nil || c.AppArmor != "" || c.Seccomp != "" {
			t.Errorf("%s is taken for a profile: %+v, %v", none, c, err)
		}
	}
}

func TestAppArmor(t *testing.T) {
	for name, tc := range map[string]struct {
		has, mounts bool
		loads       error
		want        string
		says        bool
	}{
		"a kernel without":      {false, true, nil, datadir.AppArmorNone, false},
		"nothing to mount":      {true, false, nil, datadir.AppArmorEngine, false},
		"ours":                  {true, true, nil, "ours", false},
		"not root":              {true, true, apparmor.ErrNotRoot, datadir.AppArmorUnconfined, false},
		"it cannot be compiled": {true, true, errors.New("syntax"), datadir.AppArmorUnconfined, true},
	} {
		got, err := appArmor(tc.has, tc.mounts, func() (string, error) { return "ours", tc.loads })
		if got != tc.want || err != nil != tc.says {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestColdPath(t *testing.T) {
	for want, environments := range map[string][][]string{
		contract.DefaultColdPath: {nil, {"COLD_PATH=", "COLD_PATHS=/x", "COLD_PATH=relative", "COLD_PATH=/"}},
		"/image":                 {{"COLD_PATH=/image/"}, {"HOT_PATH=/x"}},
		"/asked":                 {{"COLD_PATH=/image"}, {"COLD_PATH=/first", "COLD_PATH=/asked"}},
	} {
		if got := coldPath(environments...); got != want {
			t.Errorf("%v: %s, want %s", environments, got, want)
		}
	}
}
