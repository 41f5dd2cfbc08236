package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A record keeps the state from before a run, for the case that the run is killed. It is locked
// while the run lasts, and empty otherwise.
type record struct {
	file *os.File
}

// content is what the file holds, as JSON.
type content struct {
	Boot   string
	Tmp    string
	Before state
}

func openRecord(path string) (*record, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o666)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot lock %s: %w: another run of the tests of this checkout is under way", path, err)
	}
	return &record{f}, nil
}

func (r *record) close() { r.file.Close() }

// checkEarlier compares with the record that a killed run has left.
func (r *record) checkEarlier() error {
	var c content
	if err := json.NewDecoder(r.file).Decode(&c); err != nil || c.Boot != boot() {
		return nil //nolint:nilerr // no record, one that was being written, or one of before a restart
	}
	left := endProcesses(c.Tmp)
	now := read(c.Tmp)
	for name := range now {
		// The directory is the killed run's own, and no mount lies below it unless one is listed.
		if strings.HasPrefix(name, "file "+c.Tmp) {
			delete(now, name)
		}
	}
	left = append(left, diff(c.Before, now)...)
	if len(left) == 0 {
		return os.RemoveAll(c.Tmp)
	}
	return fmt.Errorf("an earlier run of the tests was killed, and the machine is not as it was before that run:%s\nRemove what is left, or %s when none of it is of the tests, then run them again",
		lines(left), r.file.Name())
}

func (r *record) write(before state, tmp string) error {
	b, err := json.MarshalIndent(content{boot(), tmp, before}, "", "  ")
	if err != nil {
		return err
	}
	if err := r.remove(); err != nil {
		return err
	}
	_, err = r.file.WriteAt(b, 0)
	return err
}

// remove empties the record: the file stays, because its lock guards the checkout.
func (r *record) remove() error {
	return r.file.Truncate(0)
}

// boot names this boot of the machine.
func boot() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}
