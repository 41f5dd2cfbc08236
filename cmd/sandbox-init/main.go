// Command sandbox-init is PID 1 of a sandbox, and the storage process and the exec server beside it.
//
//	sandbox-init [--] [COMMAND ARG...]   supervise COMMAND; without one, an idle sandbox
//	sandbox-init status|healthcheck|checkpoint|cold|stop|version
//
// The image's ENTRYPOINT ends in "--", so that a command may have any name.
package main

import (
	"fmt"
	"os"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/execd"
	"github.com/matrx/sandbox/internal/pid1/lifecycle"
	"github.com/matrx/sandbox/internal/pid1/process"
	"github.com/matrx/sandbox/internal/pid1/session"
	"github.com/matrx/sandbox/internal/storage"
	"github.com/matrx/sandbox/internal/storage/cold/client"
	"github.com/matrx/sandbox/internal/storage/control"
	"github.com/matrx/sandbox/internal/tarstream"
)

// version is set by the linker (-X main.version=...).
var version = "devel"

const exitUsage = 2

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	if len(args) == 0 {
		return lifecycle.Main(nil, version)
	}
	switch args[0] {
	case "--":
		return lifecycle.Main(args[1:], version)
	case "version", "--version", "-version":
		fmt.Println("sandbox-init", version)
		return 0
	case "help", "--help", "-help", "-h":
		fmt.Print(usage)
		return 0
	case "status":
		return control.StatusCommand(args[1:])
	case "healthcheck":
		return control.HealthcheckCommand(args[1:])
	case "checkpoint":
		return control.CheckpointCommand(args[1:])
	case "cold":
		return client.Command(args[1:])
	case tarstream.PackRole:
		return packPath(args[1:])
	case tarstream.UnpackRole:
		return unpackPath(args[1:])
	case "stop":
		return control.StopCommand(args[1:])
	case "storage":
		return storage.Main(args[1:])
	case "execd":
		return execd.Main(args[1:])
	case contract.SessionRole:
		return session.Main(args[1:])
	case process.LaunchRole:
		return process.Launch(args[1:])
	}
	if args[0] != "" && args[0][0] == '-' {
		fmt.Fprintf(os.Stderr, "sandbox-init: unknown flag %s; see sandbox-init --help\n", args[0])
		return exitUsage
	}
	return lifecycle.Main(args, version)
}

const usage = `Usage:
  sandbox-init [--] [COMMAND ARG...]   supervise COMMAND as the agent; without one, an
                                       idle sandbox until it is stopped
  sandbox-init status [--json]         what the sandbox and its storage are doing
  sandbox-init healthcheck [--alive]   exit 0 while the sandbox is ready and can save; with
                                       --alive from boot to exit
  sandbox-init checkpoint              save what is on disk now, and wait for it
  sandbox-init cold ls|get|put|rm|sync reach the cold path, mounted or not
  sandbox-init stop                    begin the graceful stop
  sandbox-init version                 print the version

Configured by environment variables and /opt/sandbox/config/sandbox.conf.
Exit codes: the command's own, or 128+n when signal n ended it; 74 not everything
was saved; 75 the workspace could not be had; 78 the configuration is wrong;
126 the command could not be executed; 127 it was not found.
`
