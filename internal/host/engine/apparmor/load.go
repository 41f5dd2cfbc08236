package apparmor

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

//go:embed sandbox.profile
var text string

const baseName = "matrx-sandbox"

// loadedList is where the kernel tells root of its profiles, one "NAME (MODE)" a line.
const loadedList = "/sys/kernel/security/apparmor/profiles"

// ErrNotRoot says that the profile is not loaded, as far as one can see, and that only root
// may load it.
var ErrNotRoot = errors.New("only root may load an AppArmor profile")

// name is the profile's, with the digest of its text.
func name() string {
	sum := sha256.Sum256([]byte(text))
	return baseName + "-" + hex.EncodeToString(sum[:6])
}

// profile is the text under that name.
func profile() string { return strings.ReplaceAll(text, baseName, name()) }

// Load makes sure that the kernel has the profile, and gives its name. ErrNotRoot.
func Load(ctx context.Context) (string, error) {
	if list, err := os.ReadFile(loadedList); err == nil && listed(list, name()) {
		return name(), nil
	}
	if os.Geteuid() != 0 {
		return "", ErrNotRoot
	}
	if err := parse(ctx, profile(), "--replace", "--skip-cache"); err != nil {
		return "", fmt.Errorf("cannot load the AppArmor profile of sandboxes: %w", err)
	}
	return name(), nil
}

// listed says whether the kernel's list has the name, enforced.
func listed(list []byte, name string) bool {
	for s := bufio.NewScanner(bytes.NewReader(list)); s.Scan(); {
		if s.Text() == name+" (enforce)" {
			return true
		}
	}
	return false
}

// parse gives a profile to apparmor_parser(8).
func parse(ctx context.Context, profile string, flags ...string) error {
	path, err := exec.LookPath("apparmor_parser")
	if err != nil {
		path = "/sbin/apparmor_parser" // which is not on every user's PATH
	}
	cmd := exec.CommandContext(ctx, path, flags...)
	cmd.Stdin = strings.NewReader(profile)
	out, err := cmd.CombinedOutput()
	switch {
	case errors.Is(err, os.ErrNotExist):
		return errors.New("there is no apparmor_parser; install the package apparmor")
	case err != nil:
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}
