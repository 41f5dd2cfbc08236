package main

import (
	"context"
	"errors"
	"os"
	"strconv"
	"time"

	"github.com/alecthomas/kong"

	"github.com/matrx/sandbox/internal/host/engine/terminal"
	"github.com/matrx/sandbox/internal/host/sandbox/access"
	"github.com/matrx/sandbox/internal/host/sandbox/run"
)

// runCommand is `sandbox run`.
type runCommand struct {
	common

	UserID    string `name:"user-id" placeholder:"ID" help:"Whose workspace it is; your own name when not given."`
	SandboxID string `name:"sandbox-id" placeholder:"ID" help:"Its name; made when not given."`

	choice

	Interactive bool     `short:"i" help:"Let it read what this program is given."`
	TTY         bool     `short:"t" name:"tty" help:"Give it a terminal."`
	Detach      bool     `short:"d" help:"Leave it when it is ready, and print its ID."`
	Env         []string `short:"e" sep:"none" placeholder:"KEY=VALUE" help:"Set a variable in it; KEY alone takes the value from here. Repeatable."`

	StopTimeout seconds  `name:"stop-timeout" placeholder:"T" help:"How long it may take to end and save (SHUTDOWN_TIMEOUT_SECONDS); 30s unless the image says otherwise."`
	Access      string   `placeholder:"MODE" help:"What it may reach: restricted (no network), full, or allow=HOST[:PORT],... (those alone, through a proxy; *.DOMAIN is every name below; HOST:PORT=LOCALPORT is plain TCP). The image's own when not given."`
	Network     string   `placeholder:"NAME" help:"Network of the engine's to join, with --access full; the engine's default when not given."`
	ReadOnly    *bool    `name:"read-only" negatable:"" help:"Make the root file system read-only, with /tmp and /var/tmp in memory. With --access restricted it is; --no-read-only is for images that write elsewhere than to their home."`
	OCIRuntime  string   `name:"oci-runtime" placeholder:"NAME" help:"OCI runtime of the engine's to run it with, as runsc (gVisor); the engine's default when not given."`
	GPUs        string   `name:"gpus" placeholder:"GPUS" help:"GPUs of the machine's to give it: all, a number, or device=ID,ID."`
	Device      []string `sep:"none" placeholder:"DEVICE" help:"Device of the machine's to give it, as /dev/kvm, /dev/NAME:/dev/INSIDE:rwm or a CDI name. Repeatable."`
	NoFUSE      bool     `name:"no-fuse" help:"Do without the mount of the cold path and the rights that it takes."`

	Memory    string `group:"limits" placeholder:"SIZE" help:"Memory, as 512m or 2g; no swap beyond it."`
	CPUs      string `name:"cpus" group:"limits" placeholder:"N" help:"Processors, as 0.5 or 2."`
	Processes string `group:"limits" placeholder:"N" help:"Processes and threads of the workload."`
	Timeout   string `group:"limits" placeholder:"T" help:"How long it may run, as 600, 10m or none. Then it is stopped, and what has changed is saved."`
	OpenFiles string `name:"open-files" group:"limits" placeholder:"N" help:"Open files of each process; the engine's own limit when not given."`
	TmpSize   string `name:"tmp-size" group:"limits" placeholder:"SIZE" help:"Size of /tmp, which is in memory then and counts as such; half of the memory where the root is read-only."`
	ShmSize   string `name:"shm-size" group:"limits" placeholder:"SIZE" help:"Size of /dev/shm; 64m, and 1g for images with a browser."`
	Disk      string `group:"limits" placeholder:"SIZE" help:"Size of the disk that home and state have together, as 10g, or none. It is set aside at once, and some of it kept to save with. It takes root, loop devices and mkfs.ext4 (e2fsprogs); without them an image's own limit is left out."`

	S3Bucket         string `name:"s3-bucket" group:"storage" placeholder:"NAME" help:"Bucket of the workspaces. Requests are signed here, with the AWS credentials of this program; none enter the sandbox."`
	S3Endpoint       string `name:"s3-endpoint" group:"storage" placeholder:"URL" help:"Where the bucket is, when it is not at AWS."`
	S3Region         string `name:"s3-region" group:"storage" placeholder:"REGION" help:"Its region; AWS_REGION when not given."`
	S3Prefix         string `name:"s3-prefix" group:"storage" default:"users/" placeholder:"PREFIX" help:"What comes before the user's ID in each key (${default})."`
	S3ForcePathStyle bool   `name:"s3-force-path-style" group:"storage" help:"Address the bucket as https://HOST/BUCKET."`

	telling

	Command []string `arg:"" optional:"" passthrough:"partial" placeholder:"COMMAND" help:"Command to run as the agent, after --; without one the sandbox is idle until it is stopped."`
}

// common are the flags that every command on sandboxes has.
type common struct {
	DataDir string `name:"data-dir" env:"SANDBOX_DATA_DIR" type:"path" placeholder:"DIR" help:"Directory of the embedded S3 and of the records of sandboxes; ~/.local/share/matrx-sandbox when not given."`
}

// telling are the flags of what a run says about itself.
type telling struct {
	LogLevel string `name:"log-level" enum:"debug,info,warn,error" default:"warn" help:"What sandbox-init logs: debug, info, warn or error."`
	JSON     bool   `name:"json" help:"Report the run in lines of JSON, on the error stream."`
	Quiet    bool   `short:"q" help:"Say nothing when all went well."`
}

func (t telling) output() run.Output {
	return run.Output{Out: os.Stdout, Err: os.Stderr, Terminal: terminal.Is(os.Stderr), JSON: t.JSON, Quiet: t.Quiet}
}

// seconds is a whole number of seconds, or a duration.
type seconds time.Duration

func (s *seconds) Decode(ctx *kong.DecodeContext) error {
	var v string
	if err := ctx.Scan.PopValueInto("T", &v); err != nil {
		return err
	}
	if n, err := strconv.Atoi(v); err == nil {
		*s = seconds(time.Duration(n) * time.Second)
		return nil
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		return errors.New("must be seconds (45) or a duration (45s, 2m)")
	}
	*s = seconds(d)
	return nil
}

func (c *runCommand) Run(ctx context.Context) error {
	out := c.output()
	image, err := c.choose()
	if err != nil {
		return err
	}
	if image.why != "" && !c.Quiet {
		out.Say("%s", image.why)
	}
	code, err := run.Run(ctx, run.Options{
		DataDir: c.DataDir, SandboxID: c.SandboxID, UserID: c.UserID,
		Image: image.reference, Digest: image.digest, Command: withoutDashes(c.Command), Env: c.Env,
		Interactive: c.Interactive, TTY: c.TTY, Detach: c.Detach,
		Shutdown: time.Duration(c.StopTimeout), LogLevel: c.LogLevel, Access: c.Access, Network: c.Network, NoFUSE: c.NoFUSE, ReadOnly: c.ReadOnly,
		Runtime: c.OCIRuntime, GPUs: c.GPUs, Devices: c.Device,
		Limits: access.Asked{Memory: c.Memory, CPUs: c.CPUs, Processes: c.Processes, Timeout: c.Timeout, OpenFiles: c.OpenFiles, Tmp: c.TmpSize, Shm: c.ShmSize, Disk: c.Disk},
		Store:  run.Store{Bucket: c.S3Bucket, Endpoint: c.S3Endpoint, Region: c.S3Region, Prefix: c.S3Prefix, PathStyle: c.S3ForcePathStyle},
	}, standard(), out)
	return exit(code, err)
}

func standard() run.Streams { return run.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr} }

// withoutDashes takes away the "--" that sets a command apart.
func withoutDashes(args []string) []string {
	if len(args) > 0 && args[0] == "--" {
		return args[1:]
	}
	return args
}

// exit makes a command's error of a sandbox's exit code and what went wrong besides.
func exit(code int, err error) error {
	switch {
	case err != nil && code != 0:
		return failure{code, err}
	case err != nil:
		return err
	case code != 0:
		return exitCode(code)
	}
	return nil
}
