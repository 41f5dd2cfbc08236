package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The trees are the same in every run: contents come from a generator with a fixed seed,
// and do not compress.

func content(seed, size int) []byte {
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)})
	b := make([]byte, size)
	_, _ = r.Read(b)
	return b
}

func writeFile(path string, b []byte) error {
	err := os.WriteFile(path, b, 0o644)
	if os.IsNotExist(err) {
		if err = os.MkdirAll(filepath.Dir(path), 0o755); err == nil {
			err = os.WriteFile(path, b, 0o644)
		}
	}
	return err
}

const (
	smallFiles = 10_000
	smallDirs  = 520
	smallSize  = 4 << 10
)

func smallPath(i int) string {
	d := i % smallDirs
	return fmt.Sprintf("d%02d/e%02d/f%05d", d/26, d%26, i)
}

// smallTree is 10,000 files of 4 KiB in 520 directories.
func smallTree(dir string) error {
	for i := range smallFiles {
		if err := writeFile(filepath.Join(dir, smallPath(i)), content(i, smallSize)); err != nil {
			return err
		}
	}
	return nil
}

// homeTree is 2,000 files of a home, 77 MB, most of them small, with a git repository.
func homeTree(dir string) error {
	sizes := []int{200, 700, 1500, 3000, 6000, 12_000, 30_000, 90_000}
	for i := range 1900 {
		if err := writeFile(filepath.Join(dir, fmt.Sprintf("work/pkg%02d/mod%d/file%d.src", i%40, i%7, i)), content(i, sizes[i%len(sizes)])); err != nil {
			return err
		}
	}
	for i := range 6 {
		if err := writeFile(filepath.Join(dir, fmt.Sprintf("data/set%d.bin", i)), content(10_000+i, 6<<20)); err != nil {
			return err
		}
	}
	repo := filepath.Join(dir, "repo")
	for c := range 8 {
		for f := range 12 {
			if err := writeFile(filepath.Join(repo, fmt.Sprintf("src/f%d.txt", f)), []byte(strings.Repeat(fmt.Sprintf("line %d of commit %d\n", f, c), 200))); err != nil {
				return err
			}
		}
		for _, args := range [][]string{{"init", "-q", "."}, {"add", "."}, {"-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "-m", fmt.Sprint(c)}} {
			cmd := exec.Command("git", args...)
			cmd.Dir = repo
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("git %v: %w\n%s", args, err, out)
			}
		}
	}
	return nil
}

const largeSize = 1 << 30

// largeTree is one file of 1 GiB in a directory of its own.
func largeTree(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "videos"), 0o755); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, "videos", "large"))
	if err != nil {
		return err
	}
	r := rand.NewChaCha8([32]byte{1})
	b := make([]byte, 1<<20)
	for range largeSize >> 20 {
		_, _ = r.Read(b)
		if _, err := f.Write(b); err != nil {
			f.Close()
			return err
		}
	}
	return f.Close()
}
