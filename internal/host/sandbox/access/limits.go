package access

import (
	"errors"
	"fmt"
	"time"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
	"github.com/matrx/sandbox/internal/host/sandbox/disk"
)

// What an image gets that does not say what it needs: one with no manifest.
var modest = catalog.Limits{MemoryMB: 1024, CPUCores: 1, MaxProcesses: 100}

// Defaults that no manifest has a field for.
const (
	defaultOpenFiles = 0 // the engine's own: it may have no right to raise that
	defaultShm       = 64 << 20
	// A browser keeps the pictures of its pages in shared memory and crashes where the engine's
	// usual 64 MB are full.
	browserShm = 1 << 30
)

// The least that is of any use: sandbox-init, its storage process and a shell have to fit.
const (
	leastMemory    = 64 << 20
	leastCPUs      = 0.01 // the engine's own
	leastProcesses = 1
	leastFiles     = 1024
	leastSpace     = 1 << 20
	leastDisk      = disk.Least
)

// Asked is what the flags of `sandbox run` say, as it was typed; empty: not asked.
type Asked struct {
	Memory    string // 512m, 2g
	CPUs      string // 0.5
	Processes string // 200
	Timeout   string // 90s, 2h, or none
	OpenFiles string // 4096
	Tmp       string // 256m
	Shm       string // 1g
	Disk      string // 10g, or none
}

// Decide gives a sandbox's limits. The manifest is nil when the image has none. The
// error names every mistake.
func Decide(m *catalog.Manifest, a Asked, c Ceiling) (datadir.Limits, error) {
	defaults := modest
	shm := int64(defaultShm)
	if m != nil {
		defaults = m.Limits
		for _, has := range m.Capabilities {
			if has == "browser" {
				shm = browserShm
			}
		}
	}
	var errs []error
	l := datadir.Limits{
		Memory:    whole(&errs, size("--memory", a.Memory, int64(defaults.MemoryMB)<<20, leastMemory, c.Memory)),
		CPUs:      whole(&errs, cores("--cpus", a.CPUs, defaults.CPUCores, c.CPUs)),
		Processes: whole(&errs, number("--processes", a.Processes, int64(defaults.MaxProcesses), leastProcesses, c.Processes)),
		OpenFiles: whole(&errs, number("--open-files", a.OpenFiles, defaultOpenFiles, leastFiles, c.OpenFiles)),
		Timeout:   whole(&errs, timeout("--timeout", a.Timeout, time.Duration(defaults.TimeoutSeconds)*time.Second, c.Timeout)),
		Tmp:       whole(&errs, size("--tmp-size", a.Tmp, 0, leastSpace, c.Tmp)),
		Disk:      whole(&errs, orNone("--disk", a.Disk, c.Disk, showSize, size("--disk", a.Disk, int64(defaults.DiskMB)<<20, leastDisk, c.Disk))),
	}
	l.Store = c.Store
	// What is in shared memory counts as memory, so more of it than that is a promise that
	// cannot be kept.
	l.Shm = whole(&errs, size("--shm-size", a.Shm, min(shm, l.Memory), leastSpace, c.Shm))
	return l, errors.Join(errs...)
}

// TmpInMemory is the size of a /tmp that is in memory and whose size was not asked for:
// half of the memory, as the kernel's own for a tmpfs.
func TmpInMemory(l datadir.Limits, c Ceiling) int64 {
	half := l.Memory / 2
	if c.Tmp != 0 {
		return min(half, c.Tmp)
	}
	return half
}

// value is what a flag came to.
type value[T any] struct {
	v   T
	err error
}

func whole[T any](errs *[]error, v value[T]) T {
	if v.err != nil {
		*errs = append(*errs, v.err)
	}
	return v.v
}

// choose is the rule that all limits follow. A ceiling of zero is none; so is a default,
// which only no ceiling allows.
func choose[T int64 | float64](flag, asked string, parse func(string) (T, error), show func(T) string, byDefault, least, ceiling T) value[T] {
	if asked == "" {
		if ceiling != 0 && (byDefault > ceiling || byDefault == 0) {
			byDefault = ceiling
		}
		return value[T]{v: byDefault}
	}
	v, err := parse(asked)
	switch {
	case err != nil:
		return value[T]{err: fmt.Errorf("%s is %q; it must be %w", flag, asked, err)}
	case v < least:
		return value[T]{err: fmt.Errorf("%s is %s; it must be at least %s", flag, asked, show(least))}
	case ceiling != 0 && v > ceiling:
		return value[T]{err: fmt.Errorf("%s is %s; this machine's ceiling is %s: ask for less, or raise what %s says", flag, asked, show(ceiling), ceilingName)}
	}
	return value[T]{v: v}
}

func size(flag, asked string, byDefault, least, ceiling int64) value[int64] {
	return choose(flag, asked, parseSize, showSize, byDefault, least, ceiling)
}

func number(flag, asked string, byDefault, least, ceiling int64) value[int64] {
	return choose(flag, asked, parseNumber, func(n int64) string { return fmt.Sprint(n) }, byDefault, least, ceiling)
}

func cores(flag, asked string, byDefault, ceiling float64) value[float64] {
	return choose(flag, asked, parseCores, func(n float64) string { return fmt.Sprint(n) }, byDefault, leastCPUs, ceiling)
}

func timeout(flag, asked string, byDefault, ceiling time.Duration) value[time.Duration] {
	show := func(n int64) string { return time.Duration(n).String() }
	v := orNone(flag, asked, int64(ceiling), show, choose(flag, asked, parseTimeout, show, int64(byDefault), int64(time.Second), int64(ceiling)))
	return value[time.Duration]{time.Duration(v.v), v.err}
}

// orNone is for those that can be asked away: v is what to do when that was not asked.
func orNone[T int64 | float64](flag, asked string, ceiling T, show func(T) string, v value[T]) value[T] {
	switch {
	case asked != "none":
		return v
	case ceiling != 0:
		return value[T]{err: fmt.Errorf("%s is none; this machine's ceiling is %s: ask for less, or raise what %s says", flag, show(ceiling), ceilingName)}
	}
	return value[T]{}
}
