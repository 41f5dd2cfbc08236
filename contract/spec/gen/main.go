// Command gen writes CORE_CONTRACT.md: go generate ./contract/...
package main

import (
	"fmt"
	"os"

	"github.com/matrx/sandbox/contract/spec"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gen FILE")
		os.Exit(2)
	}
	if err := os.WriteFile(os.Args[1], []byte(spec.Current().Markdown()), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}
