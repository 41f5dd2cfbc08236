// Package portforward joins ports of the container's loopback to the host's proxy.
//
// A sandbox that may reach named hosts has no network. It has a socket in a mounted
// directory that root alone may enter, and programs speak HTTP proxies over TCP. So this
// process listens on 127.0.0.1 and hands the bytes to that socket, unread: what may be
// reached is decided on the other side, where the workload cannot reach.
//
// It lives in the storage process since that is root (the socket is root's), outlives
// the drain (a last `git push` of a stop hook goes through), is started again when it
// dies, and talks to the host anyway. PID 1 has no network code, and a third process would
// cost every sandbox some 6 MB. What the workload can do to it here is bounded: so many
// connections, no parsing but of one line that the host's proxy has written.
package portforward

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/relay"
)

// mostConnections at a time over all ports; the others wait in the kernel's queue. Each is two
// descriptors and two goroutines, and none needs a thread: sockets wait in the poller.
const mostConnections = 128

// answerWithin bounds the host's answer to a CONNECT.
const answerWithin = time.Minute

// Tunnel is a set of ports that are served.
type Tunnel struct {
	socket    string
	log       *slog.Logger
	listeners []net.Listener
	places    chan struct{}
	ctx       context.Context
	stop      context.CancelFunc
	work      sync.WaitGroup
}

// Open listens for the proxy and for each forward. On an error nothing is left open.
func Open(c config.Proxy, log *slog.Logger) (*Tunnel, error) {
	t := &Tunnel{socket: c.Socket, log: log, places: make(chan struct{}, mostConnections)}
	t.ctx, t.stop = context.WithCancel(context.Background())
	if c.Socket == "" {
		return t, nil
	}
	err := t.listen(config.ProxyPort, "")
	for _, f := range c.Forwards {
		err = errors.Join(err, t.listen(f.Port, f.To))
	}
	if err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// listen serves a port; to is where its connections go, empty: the proxy itself.
func (t *Tunnel) listen(port uint16, to string) error {
	l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return fmt.Errorf("cannot listen for the way out: %w", err)
	}
	t.listeners = append(t.listeners, l)
	t.work.Go(func() {
		acceptor(l, t.places, &t.work, t.log).Serve(t.ctx, func(near net.Conn) { t.serve(near, to) })
	})
	return nil
}

func acceptor(l net.Listener, places chan struct{}, work *sync.WaitGroup, log *slog.Logger) relay.Acceptor {
	return relay.Acceptor{From: l, Semaphore: places, Work: work, Failed: func(err error) {
		log.Warn("a connection was not taken", "event", "tunnel_accept_failed", "error", err)
	}}
}

// Close ends all connections.
func (t *Tunnel) Close() {
	t.stop()
	for _, l := range t.listeners {
		l.Close()
	}
	t.work.Wait()
}

func (t *Tunnel) serve(near net.Conn, to string) {
	defer near.Close()
	far, err := new(net.Dialer).DialContext(t.ctx, "unix", t.socket)
	if err != nil {
		t.log.Warn("the way out is closed", "event", "tunnel_failed", "error", err)
		return
	}
	defer far.Close()
	stop := context.AfterFunc(t.ctx, func() { near.Close(); far.Close() })
	defer stop()
	var from io.Reader = far
	if to != "" {
		if from, err = connect(far, to); err != nil {
			t.log.Warn("the host does not let a connection through", "event", "tunnel_refused", "to", to, "error", err)
			return
		}
	}
	relay.Both(near, far, from)
}

// connect asks the proxy for a host, and gives what follows its answer.
func connect(far net.Conn, to string) (io.Reader, error) {
	if err := far.SetDeadline(time.Now().Add(answerWithin)); err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(far, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", to, to); err != nil {
		return nil, err
	}
	r := bufio.NewReader(far)
	res, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10))
		res.Body.Close()
		return nil, fmt.Errorf("%s: %s", res.Status, why)
	}
	return r, far.SetDeadline(time.Time{})
}
