// Command sandbox is the operator's program. `sandbox --help` lists its commands;
// each is a file here, and what they do lives in internal/host.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// cli is the command line.
type cli struct {
	Keeper  keeperCommand  `cmd:"" hidden:"" help:"Keep the sandboxes of a data directory in reach of their storage."`
	S3      s3Command      `cmd:"" name:"s3" help:"Serve the embedded S3, for development and tests."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

// exitCode is an error that only says how to exit: all else has been said.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// exitFailure is the code of a failure of the program itself, as docker(1) has it:
// any smaller one may be the code of what ran in a sandbox.
const exitFailure = 125

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	parser := kong.Must(&cli{},
		kong.Name("sandbox"),
		kong.Description("Runs AI agents in containers that keep their files."),
		kong.UsageOnError(),
	)
	parsed, err := parser.Parse(args)
	if err != nil {
		parser.FatalIfErrorf(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	parsed.BindTo(ctx, (*context.Context)(nil))
	err = parsed.Run()
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintln(os.Stderr, "sandbox:", err)
	return exitFailure
}
