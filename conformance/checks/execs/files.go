package execs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/matrx/sandbox/conformance/check"
	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/execapi"
)

func filesByTheAgentsRights(ctx context.Context, e *check.Env) error {
	_, c, err := e.Execs(ctx, check.Start{})
	if err != nil {
		return err
	}
	dir := check.Home("files")
	if err := c.Mkdir(ctx, dir, 0o755, false); err != nil {
		return err
	}
	file := dir + "/one"
	for _, text := range []string{"what was there", "new"} {
		if err := c.Put(ctx, file, 0o640, strings.NewReader(text)); err != nil {
			return err
		}
	}
	info, err := c.Stat(ctx, file, false)
	if err != nil {
		return err
	}
	if info.Kind != "file" || info.Size != 3 || info.Mode != 0o640 || info.UID != contract.AgentUID || info.GID != contract.AgentGID {
		return check.Failf("a file of 3 bytes that was written twice, with the mode 0640, is %+v", info)
	}
	if err := calledOff(ctx, c, file); err != nil {
		return err
	}
	if err := listed(ctx, c, dir, "one"); err != nil {
		return err
	}
	part, err := c.Read(ctx, file, 1, 2)
	if err != nil {
		return err
	}
	defer part.Close()
	if text, err := io.ReadAll(part); err != nil || string(text) != "ew" {
		return check.Failf("2 bytes from 1 on of %q are %q: %v", "new", text, err)
	}
	packed, err := c.TarOut(ctx, dir, false)
	if err != nil {
		return err
	}
	defer packed.Close()
	if _, err := c.TarIn(ctx, check.Home("copy"), false, packed); err != nil {
		return err
	}
	if err := listed(ctx, c, check.Home("copy"), "one"); err != nil {
		return err
	}
	if err := refused(c.Put(ctx, contract.ConfigFile, 0, strings.NewReader("mine")), execapi.ErrDenied, "a write to "+contract.ConfigFile); err != nil {
		return err
	}
	err = c.ListFiles(ctx, contract.DefaultStateDir, func(execapi.File) error { return nil })
	return refused(err, execapi.ErrDenied, "a list of "+contract.DefaultStateDir)
}

// calledOff breaks a write off in its midst: the name keeps what it had.
func calledOff(ctx context.Context, c *execapi.Client, file string) error {
	brief, stop := context.WithCancel(ctx)
	defer stop()
	r, w := io.Pipe()
	written := make(chan error, 1)
	go func() { written <- c.Put(brief, file, 0, r) }()
	if _, err := w.Write(make([]byte, 64<<10)); err != nil {
		return err
	}
	stop()
	w.CloseWithError(context.Canceled)
	if err := <-written; err == nil {
		return check.Failf("a write that breaks off is no error")
	}
	info, err := c.Stat(ctx, file, false)
	if err != nil {
		return err
	}
	if info.Size != 3 {
		return check.Failf("after a write that broke off the file has %d bytes, not the 3 that it had", info.Size)
	}
	return nil
}

func listed(ctx context.Context, c *execapi.Client, dir string, want ...string) error {
	var names []string
	err := c.ListFiles(ctx, dir, func(f execapi.File) error { names = append(names, f.Name); return nil })
	if err != nil {
		return err
	}
	if fmt.Sprint(names) != fmt.Sprint(want) {
		return check.Failf("%s has %q, want %q", dir, names, want)
	}
	return nil
}

func portsAreConnected(ctx context.Context, e *check.Env) error {
	s, c, err := e.Execs(ctx, check.Start{Cmd: []string{check.Probe, "echo", "/tmp/port"}})
	if err != nil {
		return err
	}
	if err := s.WaitFile(ctx, "/tmp/port"); err != nil {
		return err
	}
	text, err := s.RunAs(ctx, "0", "read", "/tmp/port")
	if err != nil {
		return err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return err
	}
	conn, from, err := c.Connect(ctx, uint16(port))
	if err != nil {
		return check.Failf("port %d, on which the command listens, cannot be reached: %v", port, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	sent := bytes.Repeat([]byte("0123456789abcdef"), 16<<10)
	if _, err := conn.Write(sent); err != nil {
		return err
	}
	if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		return err
	}
	if got, err := io.ReadAll(from); err != nil || !bytes.Equal(got, sent) {
		return check.Failf("of %d bytes that a server gives back once all have come there are %d: %v", len(sent), len(got), err)
	}
	_, _, err = c.Connect(ctx, 1) // tcpmux: no image has it
	return refused(err, execapi.ErrNotFound, "a port on which nothing listens")
}
