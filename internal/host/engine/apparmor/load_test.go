package apparmor

import (
	"strings"
	"testing"
)

// compile lets apparmor_parser compile a profile, and load it nowhere.
func compile(t *testing.T, profile string) error {
	t.Helper()
	err := parse(t.Context(), profile, "--skip-kernel-load", "--skip-cache")
	if err != nil && strings.Contains(err.Error(), "there is no apparmor_parser") {
		t.Fatalf("%v; run scripts/ensure-packages.sh scripts/test.apt", err)
	}
	return err
}

// The profile compiles. Whether it does at run time what it says, no test here knows: that
// takes a kernel with AppArmor.
func TestTheProfileCompiles(t *testing.T) {
	if err := compile(t, profile()); err != nil {
		t.Error(err)
	}
	// The parser would say so if it did not.
	for _, wrong := range []struct{ from, to string }{
		{"nodev) ->", "nodev ->"}, {"umount,", "umount"}, {"options=(rw", "options=(rwx"}, {"signal (send", "signal (sent"},
	} {
		broken := strings.Replace(profile(), wrong.from, wrong.to, 1)
		if broken == profile() {
			t.Errorf("there is no %q in it", wrong.from)
		}
		if err := compile(t, broken); err == nil {
			t.Errorf("it compiles with %q for %q", wrong.to, wrong.from)
		}
	}
}

// A name stands for one text.
func TestTheNameStandsForTheText(t *testing.T) {
	before, saved := name(), text
	defer func() { text = saved }()
	if !strings.Contains(profile(), "profile "+before+" flags") || strings.Count(profile(), "peer="+before+",") != 2 {
		t.Errorf("under the name %s there is\n%s", before, profile())
	}
	text += "\n"
	if name() == before {
		t.Error("another text has the same name")
	}
}

func TestWhatIsLoaded(t *testing.T) {
	list := []byte("docker-default (enforce)\nmatrx-sandbox-1234 (complain)\nmatrx-sandbox-123456 (enforce)\n")
	for name, want := range map[string]bool{"docker-default": true, "matrx-sandbox-1234": false, "matrx-sandbox-123456": true, "matrx-sandbox": false, "": false} {
		if listed(list, name) != want {
			t.Errorf("%q is listed: %t", name, !want)
		}
	}
}
