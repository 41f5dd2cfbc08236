package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"

	"github.com/matrx/sandbox/internal/host/sandbox/forward"
)

// forwardCommand is `sandbox forward`.
type forwardCommand struct {
	common
	JSON bool     `name:"json" help:"Print addresses and events as lines of JSON."`
	ID   string   `arg:"" help:"The sandbox."`
	Port []string `arg:"" placeholder:"PORT" help:"[ADDRESS:]PORT[:LOCALPORT]: the port of a server inside, and where it appears on this machine: on 127.0.0.1 and the same port when not given; LOCALPORT 0 is any."`
}

// exitEnded is the code when the sandbox ended before the forwarding was.
const exitEnded = 1

func (c *forwardCommand) Run(ctx context.Context) error {
	var ports []forward.Port
	for _, text := range c.Port {
		p, err := forward.ParsePort(text)
		if err != nil {
			return failure{exitUsage, err}
		}
		ports = append(ports, p)
	}
	e, d, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	err = forward.Run(ctx, e, d, c.ID, ports, &forwardTeller{json: c.JSON})
	if errors.Is(err, forward.ErrEnded) {
		return failure{exitEnded, err}
	}
	return err
}

// forwardTeller prints what is listened on to standard output, all else to the error stream.
type forwardTeller struct {
	json bool
	mu   sync.Mutex
}

func (t *forwardTeller) Listening(l forward.Listening) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.json {
		_ = json.NewEncoder(os.Stdout).Encode(struct {
			Event string `json:"event"`
			forward.Listening
		}{"listening", l})
		return
	}
	fmt.Printf("%s -> port %d of %s\n", net.JoinHostPort(l.Address, strconv.Itoa(int(l.Local))), l.Port, l.SandboxID)
}

func (t *forwardTeller) Say(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	if t.json {
		_ = json.NewEncoder(os.Stderr).Encode(map[string]string{"event": "message", "message": text})
		return
	}
	fmt.Fprintln(os.Stderr, "sandbox:", text)
}
