package execd

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/matrx/sandbox/internal/execapi"
	"github.com/matrx/sandbox/internal/relay"
)

// dialWithin bounds a connection to a server of the workload's.
const dialWithin = 10 * time.Second

// connect joins the host to a port of the sandbox's loopback.
func (s *Server) connect(w http.ResponseWriter, r *http.Request) (any, error) {
	host, text, err := net.SplitHostPort(r.Host)
	port, perr := strconv.ParseUint(text, 10, 16)
	if err != nil || perr != nil || port == 0 || host != execapi.PortHost {
		return nil, execapi.ErrInvalid.Because("what can be connected to is %s:PORT, not %q", execapi.PortHost, r.Host)
	}
	select {
	case s.ports <- struct{}{}:
		defer func() { <-s.ports }()
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	near, err := s.dial(uint16(port))
	if err != nil {
		return nil, err
	}
	defer near.Close()
	far, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, execapi.ErrFailed.Because("cannot take the connection over: %v", err)
	}
	defer far.Close()
	defer context.AfterFunc(s.ctx, func() { near.Close(); far.Close() })()
	if _, err := io.WriteString(far, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return nil, nil
	}
	first, _ := rw.Reader.Peek(rw.Reader.Buffered())
	relay.Both(near, far, io.MultiReader(strings.NewReader(string(first)), far))
	return nil, nil
}

// dial connects to a server of the workload's. Which of the two loopbacks a server is on
// depends on its language; most are on IPv4, and a container may have that alone.
func (s *Server) dial(port uint16) (net.Conn, error) {
	ctx, stop := context.WithTimeout(s.ctx, dialWithin)
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
		return nil, execapi.ErrNotFound.Because("nothing listens on port %d of the sandbox's localhost", port)
	}
	return nil, execapi.ErrFailed.Because("cannot reach port %d in the sandbox: %v", port, first)
}

func (s *Server) listPorts(http.ResponseWriter, *http.Request) (any, error) {
	list := []execapi.Port{}
	for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(name)
		if err != nil {
			continue // a kernel without it
		}
		list = append(list, listening(f)...)
		f.Close()
	}
	return list, nil
}

// mostListed bounds how many ports of each table are listed.
const mostListed = 4 << 10

// listening reads a table of sockets (proc_net(5)): those that listen on a loopback, or on all addresses.
func listening(table io.Reader) (list []execapi.Port) {
	const listen = "0A"
	for lines := bufio.NewScanner(table); len(list) < mostListed && lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || fields[3] != listen {
			continue
		}
		address, text, _ := strings.Cut(fields[1], ":")
		port, err := strconv.ParseUint(text, 16, 16)
		ip := parseAddress(address)
		if err != nil || !ip.IsLoopback() && !ip.IsUnspecified() {
			continue
		}
		list = append(list, execapi.Port{Port: uint16(port), Address: ip.String()})
	}
	return list
}

// parseAddress reads an address as the kernel prints it: words of four bytes in the machine's order, which is
// little-endian on amd64 and arm64.
func parseAddress(text string) net.IP {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != 4 && len(b) != 16 {
		return net.IP{255, 255, 255, 255}
	}
	for i := 0; i < len(b); i += 4 {
		slices.Reverse(b[i : i+4])
	}
	return net.IP(b)
}
