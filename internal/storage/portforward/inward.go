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
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/relay"
)

// What one who asks may take: for the request, in time and bytes, and for the connection.
const (
	askWithin  = 10 * time.Second
	maxRequest = 4 << 10
	dialWithin = 10 * time.Second
)

// Inward joins the host's connections to ports of the container's loopback, as
// contract.ForwardHost describes it.
//
// Who may ask is decided by where the socket is: in the container its directory lies
// below one of root's, on the host below one of the operator's. The workload could reach no
// more through it than by itself, but would come to its own servers from another process.
type Inward struct {
	listener net.Listener // nil: not asked for
	path     string
	places   chan struct{}
	log      *slog.Logger
	ctx      context.Context
	stop     context.CancelFunc
	work     sync.WaitGroup
}

// OpenInward makes the socket; an empty path is none. One that a killed process has left is replaced.
func OpenInward(path string, log *slog.Logger) (*Inward, error) {
	in := &Inward{path: path, places: make(chan struct{}, contract.ForwardConnections), log: log}
	in.ctx, in.stop = context.WithCancel(context.Background())
	if path == "" {
		return in, nil
	}
	l, err := listenAt(path)
	if err != nil {
		in.stop()
		return nil, fmt.Errorf("cannot listen for the host: %w; check %s", err, contract.EnvForwardSocket)
	}
	in.listener = l
	in.work.Go(func() { acceptor(l, in.places, &in.work, log).Serve(in.ctx, in.serve) })
	return in, nil
}

// listenAt makes a socket under another name and renames it: a client finds the old
// one or the new one, with the right mode.
func listenAt(path string) (net.Listener, error) {
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: temp, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	// 0666: on the host it is the operator's, whose UID is any.
	if err := errors.Join(os.Chmod(temp, 0o666), os.Rename(temp, path)); err != nil {
		l.Close()
		os.Remove(temp)
		return nil, err
	}
	return l, nil
}

// Close ends all connections.
func (in *Inward) Close() {
	in.stop()
	if in.listener != nil {
		os.Remove(in.path)
		in.listener.Close()
	}
	in.work.Wait()
}

func (in *Inward) serve(far net.Conn) {
	defer far.Close()
	stop := context.AfterFunc(in.ctx, func() { far.Close() })
	defer stop()
	port, rest, err := asked(far)
	if err != nil {
		refuse(far, http.StatusBadRequest, err)
		return
	}
	near, err := in.dial(port)
	if err != nil {
		refuse(far, http.StatusBadGateway, err)
		return
	}
	defer near.Close()
	stopNear := context.AfterFunc(in.ctx, func() { near.Close() })
	defer stopNear()
	if _, err := io.WriteString(far, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	relay.Both(near, far, rest)
}

// asked reads which port the host asks for. What it has sent beyond that is in rest.
func asked(far net.Conn) (port uint16, rest io.Reader, err error) {
	if err := far.SetDeadline(time.Now().Add(askWithin)); err != nil {
		return 0, nil, err
	}
	limit := &io.LimitedReader{R: far, N: maxRequest}
	r := bufio.NewReaderSize(limit, maxRequest)
	req, err := http.ReadRequest(r)
	if err != nil {
		return 0, nil, fmt.Errorf("this is no request for a port: %w", err)
	}
	host, text, err := net.SplitHostPort(req.Host)
	n, perr := strconv.ParseUint(text, 10, 16)
	if req.Method != http.MethodConnect || err != nil || perr != nil || n == 0 || host != contract.ForwardHost {
		return 0, nil, fmt.Errorf("what can be asked for is CONNECT %s:PORT", contract.ForwardHost)
	}
	first, _ := r.Peek(r.Buffered())
	return uint16(n), &leading{first, far}, far.SetDeadline(time.Time{})
}

// leading reads what was read too early, then the connection itself: io.Copy finds the
// connection's own way of copying (splice(2)) behind it.
type leading struct {
	first []byte
	conn  net.Conn
}

func (l *leading) Read(b []byte) (int, error) {
	if len(l.first) > 0 {
		n := copy(b, l.first)
		l.first = l.first[n:]
		return n, nil
	}
	return l.conn.Read(b)
}

// WriteTo implements io.WriterTo.
func (l *leading) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(l.first)
	l.first = l.first[n:]
	if err != nil {
		return int64(n), err
	}
	m, err := io.Copy(w, l.conn)
	return int64(n) + m, err
}

// dial connects to a server of the workload's. Which of the two loopbacks a server is on
// depends on its language; most are on IPv4, and a container may have that alone.
func (in *Inward) dial(port uint16) (net.Conn, error) {
	ctx, stop := context.WithTimeout(in.ctx, dialWithin)
	defer stop()
	var first error
	for _, host := range []string{"127.0.0.1", "::1"} {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(int(port))))
		if err == nil {
			return c, nil
		}
		if first == nil {
			first = err
		}
	}
	if errors.Is(first, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("nothing listens on port %d of the sandbox's localhost", port)
	}
	return nil, fmt.Errorf("cannot reach port %d in the sandbox: %w", port, first)
}

func refuse(far net.Conn, status int, why error) {
	text := why.Error()
	_ = far.SetDeadline(time.Now().Add(askWithin))
	_, _ = fmt.Fprintf(far, "HTTP/1.1 %d %s\r\nContent-Length: %d\r\n\r\n%s", status, http.StatusText(status), len(text), text)
}
