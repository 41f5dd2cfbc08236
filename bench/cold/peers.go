package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/matrx/sandbox/bench/scaffold"
)

const rcloneVersion = "v1.76.0"

// rcloneMain is rclone with nothing but what is measured.
const rcloneMain = `package main

import (
	_ "github.com/rclone/rclone/backend/local" // of its cache
	_ "github.com/rclone/rclone/backend/s3"
	"github.com/rclone/rclone/cmd"
	_ "github.com/rclone/rclone/cmd/mount"
)

func main() { cmd.Main() }
`

func (l *runner) findPeers() error {
	if l.own {
		return nil
	}
	var err error
	if l.s3fs, err = exec.LookPath("s3fs"); err != nil {
		return fmt.Errorf("s3fs is not installed: make bench-cold installs it, or leave the peers out with -own")
	}
	if l.rclone, err = filepath.Abs(filepath.Join(".cache", "bench", "rclone-"+rcloneVersion+"-local")); err != nil {
		return err
	}
	if _, err := os.Stat(l.rclone); err == nil {
		return nil
	}
	return buildRclone(filepath.Join(l.dir, "rclone"), l.rclone)
}

// buildRclone builds rclone in a module of its own, so that ours has none of what it needs. The
// distribution's is years older.
func buildRclone(dir, binary string) error {
	err := errors.Join(
		os.MkdirAll(dir, 0o755), os.MkdirAll(filepath.Dir(binary), 0o755),
		os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module rclone\n\ngo 1.26.0\n\nrequire github.com/rclone/rclone "+rcloneVersion+"\n"), 0o644),
		os.WriteFile(filepath.Join(dir, "main.go"), []byte(rcloneMain), 0o644))
	if err != nil {
		return err
	}
	for _, args := range [][]string{{"mod", "tidy"}, {"build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "."}} {
		cmd := exec.Command("go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off", "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("cannot build rclone %s: %w: %s", rcloneVersion, err, scaffold.Tail(string(out)))
		}
	}
	return nil
}
