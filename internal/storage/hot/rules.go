package hot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/matrx/sandbox/internal/storage/hot/ignore"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
)

// loadRules reads .sandboxignore as it is on the disk.
func (h *home) loadRules() error {
	content, err := h.readIgnoreFile()
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", ignore.FileName, err)
	}
	rules, err := ignore.New(h.exclude, content)
	if err != nil {
		return err
	}
	for _, p := range rules.Problems() {
		h.log.Warn("a rule is not used", "event", "ignore_rule", "problem", p)
	}
	mounts, err := h.root.Mounts()
	if err != nil {
		return err
	}
	h.rules.Store(rules.WithMounts(mounts))
	return nil
}

// remounted tells whether something was mounted in the home, or is not any more, since that was
// looked at last. The rules are up to date then.
func (h *home) remounted() bool {
	mounts, err := h.root.Mounts()
	if err != nil {
		h.log.Warn("the mounts in the home cannot be read", "event", "mounts_failed", "error", err)
		return false
	}
	rules := h.rules.Load()
	if slices.Equal(mounts, rules.Mounts()) {
		return false
	}
	h.log.Info("mounts in the home are left out", "event", "mounts", "paths", mounts)
	h.rules.Store(rules.WithMounts(mounts))
	return true
}

func (h *home) readIgnoreFile() ([]byte, error) {
	f, err := h.root.Open(ignore.FileName)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, tree.ErrNotRegular) || tree.IsNotDir(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, ignore.MaxFile+1))
}
