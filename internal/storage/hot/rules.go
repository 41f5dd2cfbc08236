package hot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/matrx/sandbox/internal/storage/hot/ignore"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
)

// loadRules reads .sandboxignore as it is on the disk.
func (e *Engine) loadRules() error {
	content, err := e.readIgnoreFile()
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", ignore.FileName, err)
	}
	rules, err := ignore.New(e.Config.Hot.Exclude, content)
	if err != nil {
		return err
	}
	for _, p := range rules.Problems() {
		e.Log.Warn("a rule is not used", "event", "ignore_rule", "problem", p)
	}
	e.rules.Store(rules)
	return nil
}

func (e *Engine) readIgnoreFile() ([]byte, error) {
	f, err := e.root.Open(ignore.FileName)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, tree.ErrNotRegular) || tree.IsNotDir(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, ignore.MaxFile+1))
}
