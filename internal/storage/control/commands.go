package control

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/config"
)

// What the commands exit with beside 0.
const (
	exitFailed = 1 // no sandbox, not healthy, or no answer
	exitUsage  = 2
)

// askFor bounds how long status and healthcheck wait for an answer that takes milliseconds.
const askFor = 3 * time.Second

// call is one command's surroundings.
type call struct {
	runDir         string
	stdout, stderr io.Writer
	colour         bool
}

func here() call {
	return call{
		runDir: config.RunDir(os.Environ(), contract.ConfigFile),
		stdout: os.Stdout, stderr: os.Stderr,
		colour: terminal(os.Stdout) && os.Getenv("NO_COLOR") == "",
	}
}

// StatusCommand is `sandbox-init status [--json]`. It exits 0 when PID 1 and, where there is one,
// the storage process answered, with any answer, else 1.
func StatusCommand(args []string) int { return here().status(args) }

// CheckpointCommand is `sandbox-init checkpoint [--json] [--timeout D]`. It exits 0 when what
// was on disk when it was called is in S3, 74 when it is not, 1 when that cannot be asked.
func CheckpointCommand(args []string) int { return here().checkpoint(args) }

// HealthcheckCommand is `sandbox-init healthcheck [--alive]`. It exits 0 only while the sandbox is ready
// and its storage, if any, answers and can save; with --alive it does so from boot to exit, whether or not storage answers. Docker knows 0 and 1 (HEALTHCHECK).
func HealthcheckCommand(args []string) int { return here().healthcheck(args) }

func (c call) status(args []string) int {
	flags := c.flags("status", "Shows what the sandbox and its storage are doing.")
	asJSON := flags.Bool("json", false, "print one JSON object: {\"state\": ..., \"storage\": ...}")
	if code, stop := parse(flags, args); stop {
		return code
	}
	ctx, cancel := context.WithTimeout(context.Background(), askFor)
	defer cancel()
	r, err := report(ctx, c.runDir)
	if err != nil {
		return c.fail(err)
	}
	if *asJSON {
		err = writeJSON(c.stdout, r)
	} else {
		err = printReport(c.stdout, r, time.Now(), c.colour)
	}
	if err != nil {
		return c.fail(fmt.Errorf("cannot print the status: %w", err))
	}
	if r.StorageError != "" {
		return exitFailed
	}
	return 0
}

func (c call) checkpoint(args []string) int {
	flags := c.flags("checkpoint", "Returns when what is on disk now is in S3.")
	asJSON := flags.Bool("json", false, "print one JSON object: {\"sequence\": ..., \"files\": ...}")
	timeout := flags.Duration("timeout", 5*time.Minute, "the longest to wait")
	if code, stop := parse(flags, args); stop {
		return code
	}
	state, err := readState(c.runDir)
	if err != nil {
		return c.fail(err)
	}
	if state.Storage == contract.StorageNone {
		return c.fail(errors.New("nothing is kept in this sandbox, so there is no checkpoint: it was started without S3_BUCKET"))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	done, err := NewClient(c.runDir).Checkpoint(ctx)
	var refused *refusedError
	switch {
	case err == nil:
	case errors.As(err, &refused):
		c.fail(fmt.Errorf("the checkpoint failed: %w", err))
		return contract.ExitUnsaved
	case ctx.Err() == context.DeadlineExceeded:
		c.fail(fmt.Errorf("the checkpoint is not complete after %s; sandbox-init status says what is missing", *timeout))
		return contract.ExitUnsaved
	default:
		return c.fail(err)
	}
	if *asJSON {
		err = writeJSON(c.stdout, done)
	} else {
		_, err = fmt.Fprintf(c.stdout, "checkpoint %d: everything is in S3; %s, %s uploaded in %s\n",
			done.Sequence, files(int64(done.Files)), size(done.Bytes), short(done.Took))
	}
	if err != nil {
		return c.fail(fmt.Errorf("cannot print the result: %w", err))
	}
	return 0
}

func (c call) healthcheck(args []string) int {
	flags := c.flags("healthcheck", "Exits 0 while the sandbox is ready and its storage can save.")
	asAlive := flags.Bool("alive", false, "exit 0 while sandbox-init runs, ready or not")
	if code, stop := parse(flags, args); stop {
		return code
	}
	if *asAlive {
		s, err := readState(c.runDir)
		if err == nil {
			err = ended(s)
		}
		if err != nil {
			return c.fail(err)
		}
		fmt.Fprintln(c.stdout, "alive")
		return 0
	}
	ctx, cancel := context.WithTimeout(context.Background(), askFor)
	defer cancel()
	r, err := report(ctx, c.runDir)
	if err == nil {
		err = unhealthy(r)
	}
	if err != nil {
		return c.fail(err)
	}
	fmt.Fprintln(c.stdout, "ready")
	return 0
}

func (c call) fail(err error) int {
	fmt.Fprintln(c.stderr, "sandbox-init:", err)
	return exitFailed
}

func (c call) flags(name, purpose string) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(c.stderr)
	flags.Usage = func() {
		fmt.Fprintf(c.stderr, "usage: sandbox-init %s [flags]\n%s\n", name, purpose)
		flags.PrintDefaults()
	}
	return flags
}

// parse says whether the command ends here, and with what.
func parse(flags *flag.FlagSet, args []string) (code int, stop bool) {
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0, true
	case err != nil:
		return exitUsage, true
	case flags.NArg() > 0:
		fmt.Fprintf(flags.Output(), "sandbox-init %s takes no arguments, but was given %q\n", flags.Name(), flags.Args())
		return exitUsage, true
	}
	return 0, false
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
