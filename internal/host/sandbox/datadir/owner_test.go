package datadir

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A data directory in which another user may write, or a part of it, is refused. The test
// runs as root, who could use it all.
func TestDirectoryThatOthersMayWriteIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test gives directories to another user; run it as root")
	}
	const other = 12345
	for name, tc := range map[string]struct {
		spoil func(path string) error
		want  string
	}{
		"another's":         {func(p string) error { return os.Chown(p, other, other) }, "belongs to the user 12345"},
		"written by all":    {func(p string) error { return os.Chmod(p, 0o777) }, "may be written by other users"},
		"written by group":  {func(p string) error { return os.Chmod(p, 0o770) }, "may be written by other users"},
		"a part another's":  {func(p string) error { return os.Chown(filepath.Join(p, "s3"), other, other) }, "belongs to the user 12345"},
		"a part written":    {func(p string) error { return os.Chmod(filepath.Join(p, "sandboxes"), 0o733) }, "may be written by other users"},
		"a part elsewhere":  {func(p string) error { return elsewhere(filepath.Join(p, "hostd")) }, "is no directory"},
		"above another's":   {func(p string) error { return os.Chown(filepath.Dir(p), other, other) }, "other users may replace it"},
		"above, not sticky": {func(p string) error { return os.Chmod(filepath.Dir(p), 0o777) }, "other users may replace it"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "above", "data")
			if _, err := Open(path); err != nil {
				t.Fatal(err)
			}
			if err := tc.spoil(path); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(path); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Open gives %v, want an error with %q", err, tc.want)
			}
		})
	}
}

// elsewhere replaces a directory by a link to another.
func elsewhere(dir string) error {
	if err := os.Rename(dir, dir+".moved"); err != nil {
		return err
	}
	return os.Symlink(dir+".moved", dir)
}
