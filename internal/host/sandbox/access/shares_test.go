package access

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLowSharesAreNamed(t *testing.T) {
	for _, tc := range []struct{ name, instances, watches, want string }{
		{"Debian's", "128\n", "29000\n", "fs.inotify.max_user_instances=128 (set 8192), fs.inotify.max_user_watches=29000 (set 524288)"},
		{"one", "128\n", "1048576\n", "fs.inotify.max_user_instances=128 (set 8192)"},
		{"enough", "8192\n", "524288\n", ""},
		{"not known", "", "many\n", ""},
	} {
		root := t.TempDir()
		dir := filepath.Join(root, "fs", "inotify")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for file, text := range map[string]string{"max_user_instances": tc.instances, "max_user_watches": tc.watches} {
			if text == "" {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := ReadShares(root).Low(); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
	if s := ReadShares("/proc/sys"); s.InotifyInstances == 0 || s.InotifyWatches == 0 {
		t.Errorf("this machine's are %+v", s)
	}
}
