// Command sandbox is the operator's program. `sandbox --help` lists its commands;
// each is a file here, and what they do lives in internal/host.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/sandbox/run"
)

// cli is the command line.
type cli struct {
	Run     runCommand     `cmd:"" help:"Run a sandbox."`
	Ps      psCommand      `cmd:"" help:"List sandboxes: those that run, and those that have unsaved changes."`
	Inspect inspectCommand `cmd:"" help:"Tell what a sandbox may use, and how it has ended."`
	Exec    execCommand    `cmd:"" help:"Run a command in a sandbox, as the agent."`
	Execs   execsCommand   `cmd:"" help:"List the execs of a sandbox, or end some of them."`
	Attach  attachCommand  `cmd:"" help:"Show the output of an exec, from its beginning or an offset on."`
	Cp      cpCommand      `cmd:"" help:"Copy files into a sandbox, or out of one."`
	Forward forwardCommand `cmd:"" help:"Make ports of a sandbox's localhost appear on this machine."`
	Logs    logsCommand    `cmd:"" help:"Print a sandbox's output."`
	Stop    stopCommand    `cmd:"" help:"Stop sandboxes and save what has changed."`
	Kill    killCommand    `cmd:"" help:"End sandboxes at once; unsaved changes are kept, for save."`
	Save    saveCommand    `cmd:"" help:"Save what a sandbox that was killed has kept."`
	Rm      rmCommand      `cmd:"" help:"Forget sandboxes that have ended."`

	Images imagesCommand `cmd:"" help:"Know, check, plan, build and publish the images."`
	Select selectCommand `cmd:"" help:"Select the image that has what a task, a runtime or a program needs."`

	Conformance conformanceCommand `cmd:"" passthrough:"" help:"Prove that an image keeps the contract."`

	S3      s3Command      `cmd:"" name:"s3" help:"Serve the embedded S3, for development and tests."`
	Hostd   hostdCommand   `cmd:"" name:"hostd" help:"The daemon that keeps sandboxes in reach of their storage."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

// grammar is the command line as far as args need it: reading what all commands can be given takes longer
// than some of them do. Platforms ask `sandbox select` before each task.
func grammar(args []string) any {
	if len(args) == 0 {
		return &cli{}
	}
	if args[0] == "select" {
		// The first collection comes with 4 MiB on the heap, which it just reaches, and takes a
		// fifth of its time. From 16 MiB on it collects.
		debug.SetGCPercent(400)
	}
	for _, command := range reflect.VisibleFields(reflect.TypeFor[cli]()) {
		if strings.EqualFold(command.Name, args[0]) {
			return reflect.New(reflect.StructOf([]reflect.StructField{{Name: command.Name, Type: command.Type, Tag: command.Tag}})).Interface()
		}
	}
	return &cli{}
}

// exitCode is an error that only says how to exit: all else has been said.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// failure is an error with an exit code of its own.
type failure struct {
	code int
	error
}

// exitFailure is the code of a failure of the program itself, as docker(1) has it:
// any smaller one may be the code of what ran in a sandbox.
const exitFailure = 125

// exitUsage is the code of a command line that says nothing sensible.
const exitUsage = 2

// exitInterrupted is 128 + SIGINT.
const exitInterrupted = 130

// sayWithin is how long a reader of the error stream has once this program was told to end.
const sayWithin = time.Second

// say writes why the program fails. A reader that does not read does not keep it from ending.
func say(ctx context.Context, err error) {
	said := make(chan struct{})
	go func() {
		defer close(said)
		fmt.Fprintln(os.Stderr, "sandbox:", err)
	}()
	select {
	case <-said:
		return
	case <-ctx.Done():
	}
	select {
	case <-said:
	case <-time.After(sayWithin):
	}
}

func main() { os.Exit(sandboxMain(os.Args[1:])) }

func sandboxMain(args []string) int {
	parser := kong.Must(grammar(args),
		kong.Name("sandbox"),
		kong.Description("Runs AI agents in containers that keep their files."),
		groups,
		kong.ShortUsageOnError(),
		kong.Exit(func(code int) {
			if code != 0 {
				code = exitUsage // kong's own is 80
			}
			os.Exit(code)
		}),
	)
	parsed, err := parser.Parse(args)
	if err != nil {
		parser.FatalIfErrorf(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	parsed.BindTo(ctx, (*context.Context)(nil))
	err = parsed.Run()
	if err == nil {
		return 0
	}
	if code, ok := errors.AsType[exitCode](err); ok {
		return int(code)
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "sandbox: interrupted")
		return exitInterrupted
	}
	say(ctx, err)
	if f, ok := errors.AsType[failure](err); ok {
		return f.code
	}
	if errors.Is(err, run.ErrUnsaved) {
		return contract.ExitUnsaved
	}
	return exitFailure
}
