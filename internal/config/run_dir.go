package config

import (
	"os"
	"strings"

	"github.com/matrx/sandbox/contract"
)

// RunDir is SANDBOX_RUN_DIR alone, for the commands that ask a sandbox which runs already:
// other mistakes in their environment do not concern them.
func RunDir(environ []string, confPath string) string {
	dir := ""
	for _, kv := range environ {
		if v, ok := strings.CutPrefix(kv, contract.EnvRunDir+"="); ok {
			dir = v
		}
	}
	if dir == "" {
		if f, err := os.Open(confPath); err == nil {
			defer f.Close()
			values, _ := parseFile(f, func(string) bool { return true })
			dir = values[contract.EnvRunDir]
		}
	}
	if dir, err := absolute(dir); err == nil {
		return dir
	}
	return contract.DefaultRunDir
}
