package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"

	"github.com/matrx/sandbox/internal/host/hostd"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// hostdCommand is `sandbox hostd`: the daemon, which the other commands start when they need it.
type hostdCommand struct {
	Run    hostdRun    `cmd:"" default:"withargs" help:"Keep the sandboxes of a data directory in reach of their storage. The other commands start it when they need it."`
	Status hostdStatus `cmd:"" help:"Tell whether a daemon runs, and what it serves."`
	Unit   hostdUnit   `cmd:"" help:"Print a systemd unit that runs the daemon."`
}

// hostdRun is the daemon.
type hostdRun struct {
	DataDir string `required:"" type:"path" placeholder:"DIR" help:"The data directory."`
	Stay    bool   `help:"Stay when no sandbox needs it; for a supervisor."`
	Guard   bool   `hidden:""`
}

// Run ends well at the first SIGTERM, with its sandboxes, and at once at the second.
func (c *hostdRun) Run() error {
	dir, err := datadir.Open(c.DataDir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	log := hostd.NewLogger(dir)
	if c.Guard {
		go func() {
			<-signals
			cancel()
		}()
		return hostd.Guard(ctx, dir, nil, log)
	}
	drain := make(chan struct{})
	go func() {
		<-signals
		close(drain)
		<-signals
		cancel()
	}()
	return hostd.Main(ctx, hostd.Options{Dir: dir, Log: log, OpenEngine: hostd.OpenEngine, Stay: c.Stay, Drain: drain}, nil)
}

// hostdStatus is `sandbox hostd status`.
type hostdStatus struct {
	common
	JSON bool `name:"json" help:"Print one object of JSON."`
}

func (c *hostdStatus) Run(ctx context.Context) error {
	dir, err := datadir.Open(c.DataDir)
	if err != nil {
		return err
	}
	client, err := hostd.Dial(dir)
	if err != nil {
		return err
	}
	defer client.Close()
	st, err := client.Status(ctx)
	if err != nil {
		return fmt.Errorf("no daemon answers for the data directory %s: %w; the next command that needs one starts it", dir.Path(), err)
	}
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(st)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintf(w, "data directory\t%s\nprocess\t%d\nprotocol\t%d, and from %d on\n", dir.Path(), st.PID, st.Protocol, st.Oldest)
	for _, s := range st.Sandboxes {
		fmt.Fprintf(w, "%s\t%d requests served, %d refused\n", s.SandboxID, s.Served, s.Refused)
	}
	return w.Flush()
}

// hostdUnit is `sandbox hostd unit`.
type hostdUnit struct{ common }

// unit stops before the engine, since its sandboxes are saved first, and gives them the time. The guard that
// a daemon otherwise has is systemd.
const unit = `[Unit]
Description=Storage of the sandboxes in %[2]s
After=docker.service network-online.target
Wants=network-online.target

[Service]
ExecStart=%[1]s hostd run --stay --data-dir %[2]s
Restart=on-failure
KillMode=mixed
TimeoutStopSec=15min

[Install]
WantedBy=multi-user.target
`

func (c *hostdUnit) Run() error {
	dir, err := datadir.Open(c.DataDir)
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	_, err = fmt.Printf(unit, program, dir.Path())
	return err
}
