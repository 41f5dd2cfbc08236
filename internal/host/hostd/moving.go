package hostd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/relay"
)

const (
	mostMoves  = 8                // clients of one sandbox that are served at a time; the others wait in the kernel's queue
	moveWithin = 10 * time.Second // for a client's request and its answer
)

// serveMoves answers what the sandbox asks on its memory socket (contract.MemoryMoved), until ctx is done.
func (d *divider) serveMoves(ctx context.Context, l net.Listener) {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	var work sync.WaitGroup
	defer work.Wait()
	relay.Acceptor{From: l, Semaphore: make(chan struct{}, mostMoves), Work: &work, Failed: func(err error) {
		if !errors.Is(err, net.ErrClosed) {
			d.log.Warn("a request to move a process is not taken", "event", "move_untaken", "sandbox_id", d.sandboxDir.ID, "error", err.Error())
		}
	}}.Serve(ctx, d.serveMove)
}

func (d *divider) serveMove(c net.Conn) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(moveWithin))
	answer := contract.MemoryMoved
	if err := d.answerMove(c); err != nil {
		d.log.Warn("a process is not moved to the workload's memory", "event", "move_refused", "sandbox_id", d.sandboxDir.ID, "error", err.Error())
		answer = "it cannot be moved; the daemon's log has the reason"
	}
	_, _ = io.WriteString(c, answer+"\n") // a client that is gone needs none
}

func (d *divider) answerMove(c net.Conn) error {
	const longest = 32
	line, err := bufio.NewReader(io.LimitReader(c, longest)).ReadString('\n')
	if err != nil {
		return fmt.Errorf("cannot read which: %w", err)
	}
	inner, err := strconv.Atoi(strings.TrimSuffix(line, "\n"))
	if err != nil {
		return fmt.Errorf("%q is not a process", line)
	}
	client, err := peer(c)
	if err != nil {
		return err
	}
	return d.move(client, inner)
}

// peer is the number that the process which has connected has here.
func peer(c net.Conn) (int, error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return 0, errors.New("it is not connected by a unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) { cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err = errors.Join(err, failed); err != nil {
		return 0, fmt.Errorf("cannot tell which process asks: %w", err)
	}
	return int(cred.Pid), nil
}
