package client

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/config"
)

const usage = `Usage:
  sandbox-init cold ls [-l] [-r] [--json] [PATH]   what is in the cold path, or below PATH
  sandbox-init cold get [--json] PATH [FILE]       fetch a file, or a directory with all in it;
                                                   FILE "-" is standard output
  sandbox-init cold put [--json] FILE [PATH]       store a file, or a directory with all in it;
                                                   returns when it is in S3
  sandbox-init cold rm [-r] PATH...                remove files, with -r directories
  sandbox-init cold sync [--json] [PATH]           wait until what was written is in S3

PATH is below the cold path, with or without its directory in front. It works whether the
cold path is mounted or not. What get and put are given is the name of what they make; one
that ends in "/" is the directory to make it in. Of a directory, what has the same size and
time already is left alone, and nothing is removed. "ls --keys", "get --key KEY FILE" and
"rm --keys KEY..." reach objects that cannot be files here, by their keys.
Exit codes: 0 done, 1 not done, 2 a wrong call, 74 something is not in S3.
`

const (
	exitFailed = 1
	exitUsage  = 2
)

// command is one call's surroundings.
type command struct {
	client         *Client
	coldPath       string
	stdout, stderr io.Writer
	terminal       bool // of stderr: progress is shown there
}

// Command is `sandbox-init cold ...`.
func Command(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	coldPath := os.Getenv(contract.EnvColdPath)
	if coldPath == "" {
		coldPath = contract.DefaultColdPath
	}
	info, err := os.Stderr.Stat()
	c := command{
		client: newClient(config.RunDir(os.Environ(), contract.ConfigFile)), coldPath: coldPath,
		stdout: os.Stdout, stderr: os.Stderr, terminal: err == nil && info.Mode()&fs.ModeCharDevice != 0,
	}
	return c.run(ctx, args)
}

func (c command) run(ctx context.Context, args []string) int {
	if len(args) == 0 {
		fmt.Fprint(c.stderr, usage)
		return exitUsage
	}
	run, ok := map[string]func(context.Context, []string) error{
		"ls": c.list, "get": c.get, "put": c.put, "rm": c.remove, "sync": c.sync,
	}[args[0]]
	if !ok {
		if args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
			fmt.Fprint(c.stdout, usage)
			return 0
		}
		fmt.Fprintf(c.stderr, "sandbox-init cold: there is no command %q\n%s", args[0], usage)
		return exitUsage
	}
	err := run(ctx, args[1:])
	var unsaved *unsavedError
	var partly *transferError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &partly):
		if partly.kept() {
			return contract.ExitUnsaved
		}
		return exitFailed
	case errors.Is(err, errUsage):
		fmt.Fprintf(c.stderr, "sandbox-init cold %s: %v\n%s", args[0], err, usage)
		return exitUsage
	case errors.As(err, &unsaved), kept(err):
		fmt.Fprintln(c.stderr, "sandbox-init cold:", err)
		return contract.ExitUnsaved
	default:
		fmt.Fprintln(c.stderr, "sandbox-init cold:", err)
		return exitFailed
	}
}

var errUsage = errors.New("wrong call")

// parse reads flags and checks the number of arguments.
func (c command) parse(flags *flag.FlagSet, args []string, least, most int) ([]string, error) {
	flags.SetOutput(c.stderr)
	flags.Usage = func() { fmt.Fprint(c.stderr, usage) }
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	if n := flags.NArg(); n < least || most >= 0 && n > most {
		return nil, fmt.Errorf("%w: %d arguments", errUsage, n)
	}
	return flags.Args(), nil
}

// below is a path as the API wants it: below the cold root.
func (c command) below(p string) string {
	if rest, ok := strings.CutPrefix(path.Clean(p), strings.TrimSuffix(c.coldPath, "/")); ok && (rest == "" || rest[0] == '/') {
		p = rest
	}
	return strings.Trim(p, "/")
}

func (c command) list(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("ls", flag.ContinueOnError)
	long := flags.Bool("l", false, "mode, size and time too")
	recursive := flags.Bool("r", false, "directories too, all the way down")
	asJSON := flags.Bool("json", false, "one JSON object a line")
	keys := flags.Bool("keys", false, "every object, by its key")
	rest, err := c.parse(flags, args, 0, 1)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(c.stdout)
	if *keys {
		return c.listKeys(ctx, enc, *asJSON, strings.Join(rest, ""))
	}
	at := ""
	if len(rest) == 1 {
		at = c.below(rest[0])
	}
	return c.client.List(ctx, at, *recursive, func(e contract.ColdEntry) error {
		if *asJSON {
			return enc.Encode(e)
		}
		name := e.Path
		if e.Kind == "dir" {
			name += "/"
		}
		if !*long {
			_, err := fmt.Fprintln(c.stdout, name)
			return err
		}
		if e.Target != "" {
			name += " -> " + e.Target
		}
		if e.Pending {
			name += "  (not yet in S3)"
		}
		_, err := fmt.Fprintf(c.stdout, "%s %12d  %s  %s\n", e.Mode, e.Size, e.Mtime.Format(time.DateTime), name)
		return err
	})
}

func (c command) listKeys(ctx context.Context, enc *json.Encoder, asJSON bool, prefix string) error {
	return c.client.Keys(ctx, prefix, func(k contract.ColdKey) error {
		if asJSON {
			return enc.Encode(k)
		}
		why := ""
		if k.Hidden != "" {
			why = "  (not shown as a file: " + k.Hidden + ")"
		}
		_, err := fmt.Fprintf(c.stdout, "%12d  %s  %s %s\n", k.Size, k.Modified.UTC().Format(time.DateTime), k.Key, why)
		return err
	})
}

func (c command) remove(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("rm", flag.ContinueOnError)
	recursive := flags.Bool("r", false, "directories too, with all in them")
	keys := flags.Bool("keys", false, "objects by their keys, which need not be files")
	rest, err := c.parse(flags, args, 1, -1)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range rest {
		if *keys {
			errs = append(errs, c.client.RemoveKey(ctx, p))
		} else {
			errs = append(errs, c.client.Remove(ctx, c.below(p), *recursive))
		}
	}
	return errors.Join(errs...)
}

// unsavedError is a sync that could not bring everything to S3.
type unsavedError struct{ last contract.ColdProgress }

func (e *unsavedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d files are not in S3:", e.last.UnsavedCount)
	for _, u := range e.last.Unsaved {
		fmt.Fprintf(&b, "\n  %s: %s", u.Path, u.Reason)
	}
	return b.String()
}

func (c command) sync(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("sync", flag.ContinueOnError)
	asJSON := flags.Bool("json", false, "one JSON object a line, while it goes on")
	rest, err := c.parse(flags, args, 0, 1)
	if err != nil {
		return err
	}
	at := ""
	if len(rest) == 1 {
		at = c.below(rest[0])
	}
	var last contract.ColdProgress
	enc := json.NewEncoder(c.stdout)
	if err := c.client.Sync(ctx, at, func(p contract.ColdProgress) {
		last = p
		switch {
		case *asJSON:
			_ = enc.Encode(p)
		case c.terminal && !p.Done:
			fmt.Fprintf(c.stderr, "\r\x1b[K%d files, %d bytes to go", p.PendingFiles, p.PendingBytes)
		}
	}); err != nil {
		return err
	}
	if c.terminal && !*asJSON {
		fmt.Fprint(c.stderr, "\r\x1b[K")
	}
	if last.UnsavedCount > 0 {
		return &unsavedError{last}
	}
	return nil
}
