// Command gen writes the table of variables into the README: go generate ./internal/config
package main

import (
	"fmt"
	"os"

	"github.com/matrx/sandbox/internal/config"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: gen FILE")
	}
	text, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	out, err := config.WithTable(string(text))
	if err != nil {
		return err
	}
	return os.WriteFile(args[0], []byte(out), 0o644)
}
