package cache

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// scan finds the clean files that an earlier process left, and removes what is of no use
// without that process: partial files, whose maps were in its memory, and side files.
func (c *Cache) scan() error {
	for _, d := range []string{"partial", "tmp"} {
		if err := empty(filepath.Join(c.dir, d)); err != nil {
			return err
		}
	}
	if err := c.dropStrayMaps(); err != nil {
		return err
	}
	type found struct {
		f    *File
		used time.Time
	}
	var all []found
	root := filepath.Join(c.dir, "clean")
	dirs, err := os.ReadDir(root)
	if err != nil {
		return fmt.Errorf("cannot read the cold path's cache: %w", err)
	}
	for _, d := range dirs {
		entries, err := os.ReadDir(filepath.Join(root, d.Name()))
		if err != nil {
			return fmt.Errorf("cannot read the cold path's cache: %w", err)
		}
		for _, e := range entries {
			name := filepath.Join(root, d.Name(), e.Name())
			info, err := e.Info()
			var id ID
			if n, herr := hex.Decode(id[:], []byte(e.Name())); err != nil || herr != nil || n != len(id) || len(all) == maxFiles {
				os.Remove(name)
				continue
			}
			f := c.newFile()
			f.id, f.limit = id, info.Size()
			f.size.Store(info.Size())
			f.whole.Store(true)
			all = append(all, found{f, info.ModTime()})
		}
	}
	slices.SortFunc(all, func(a, b found) int { return a.used.Compare(b.used) })
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range all {
		c.clean[a.f.id] = a.f
		a.f.countWhole(a.f.size.Load())
	}
	return nil
}

func empty(dir string) error {
	d, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("cannot read the cold path's cache: %w", err)
	}
	for _, e := range d {
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("cannot tidy the cold path's cache: %w", err)
		}
	}
	return nil
}
