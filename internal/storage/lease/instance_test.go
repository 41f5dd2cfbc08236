package lease

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func open(t *testing.T, dir string) *Instance {
	t.Helper()
	i, err := OpenInstance(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestInstance(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	if len(first.ID) != 32 {
		t.Fatalf("INSTANCE is %q", first.ID)
	}
	if _, err := OpenInstance(dir, ""); !errors.Is(err, errInUse) {
		t.Errorf("a second process: %v, want ErrInUse", err)
	}
	first.Close()
	again := open(t, dir)
	if again.ID != first.ID {
		t.Errorf("after a restart it is %s, was %s", again.ID, first.ID)
	}
	again.Close()

	name := filepath.Join(dir, instanceFile)
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	copied := t.TempDir()
	if err := os.WriteFile(filepath.Join(copied, instanceFile), content, 0o600); err != nil {
		t.Fatal(err)
	}
	other := open(t, copied)
	defer other.Close()
	if other.ID == first.ID {
		t.Error("a copy of the file has the same INSTANCE")
	}

	for _, torn := range []string{"", "x", string(content[:20]), string(content[:len(content)-1]), string(content) + "x"} {
		if err := os.WriteFile(name, []byte(torn), 0o600); err != nil {
			t.Fatal(err)
		}
		i := open(t, dir)
		if len(i.ID) != 32 || i.ID == first.ID {
			t.Errorf("from %q came %q", torn, i.ID)
		}
		i.Close()
	}
}

func TestInstanceIsNotASymlink(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.Symlink(target, filepath.Join(dir, instanceFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenInstance(dir, ""); err == nil {
		t.Error("a symbolic link was followed")
	}
}

// A new directory takes the INSTANCE that it is given, and keeps it; one that has another keeps that and says so.
func TestInstanceThatIsGiven(t *testing.T) {
	dir, given := t.TempDir(), strings.Repeat("0a", 16)
	for _, wanted := range []string{given, given, ""} {
		i, err := OpenInstance(dir, wanted)
		if err != nil {
			t.Fatal(err)
		}
		if i.ID != given {
			t.Errorf("asked for %q it is %s, want %s", wanted, i.ID, given)
		}
		i.Close()
	}
	if _, err := OpenInstance(dir, strings.Repeat("0b", 16)); err == nil || !strings.Contains(err.Error(), given) {
		t.Errorf("with another one: %v", err)
	}
}
