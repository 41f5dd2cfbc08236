package s3server

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/matrx/sandbox/internal/unixhttp"
	"golang.org/x/sys/unix"
)

// maxSocketPath is the length of sockaddr_un's sun_path less its NUL (unix(7)).
const maxSocketPath = 107

func isUnix(address string) bool { return strings.HasPrefix(address, "/") }

// resolve turns addresses into the forms that the gateway takes: IP:PORT, since a
// name that stands for several addresses would be listened on several times, each
// with a port of its own, and the absolute path of a socket.
func resolve(addresses []string) ([]string, error) {
	var out []string
	for _, a := range addresses {
		if path, ok := unixhttp.Path(a); ok {
			path, err := socketPath(path)
			if err != nil {
				return nil, fmt.Errorf("cannot listen on %q: %w", a, err)
			}
			out = append(out, path)
			continue
		}
		tcp, err := net.ResolveTCPAddr("tcp", a)
		if err != nil {
			return nil, fmt.Errorf("cannot listen on %q: %w; give HOST:PORT or unix://PATH", a, err)
		}
		host := ""
		if tcp.IP != nil {
			host = tcp.IP.String()
		}
		out = append(out, net.JoinHostPort(host, strconv.Itoa(tcp.Port)))
	}
	return out, nil
}

func socketPath(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if len(abs) > maxSocketPath {
		return "", fmt.Errorf("a socket's path has at most %d bytes, this one has %d; choose a shorter one", maxSocketPath, len(abs))
	}
	// The gateway takes a text that splits into host and port for a network address.
	if strings.Contains(abs, ":") {
		return "", errors.New("a socket's path must not contain a colon")
	}
	return abs, nil
}

// listening gives the descriptors of this process that listen, and their addresses.
//
// The gateway binds its listeners itself and does not say to which port. The kernel
// knows: a descriptor that is a socket and listens (SO_ACCEPTCONN) tells its own
// address, and there is no moment at which the port is free for another process, as
// there would be if a port were chosen first.
func listening() (map[int]string, error) {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, fmt.Errorf("cannot list the open descriptors: %w", err)
	}
	out := make(map[int]string)
	for _, n := range names {
		fd, err := strconv.Atoi(n.Name())
		if err != nil {
			continue
		}
		if v, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || v == 0 {
			continue // not a socket, or closed since, or not listening
		}
		name, err := unix.Getsockname(fd)
		if err != nil {
			continue
		}
		out[fd] = addressOf(name)
	}
	return out, nil
}

func addressOf(sa unix.Sockaddr) string {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return loopbackFor(net.IP(sa.Addr[:]), "127.0.0.1", sa.Port)
	case *unix.SockaddrInet6:
		return loopbackFor(net.IP(sa.Addr[:]), "::1", sa.Port)
	case *unix.SockaddrUnix:
		return sa.Name
	}
	return ""
}

// loopbackFor gives an address that a client on this machine can use: the
// unspecified address is for binding only.
func loopbackFor(ip net.IP, loopback string, port int) string {
	host := ip.String()
	if ip.IsUnspecified() {
		host = loopback
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// boundSince gives the addresses of the listeners made since before, in no order.
func boundSince(before map[int]string) ([]string, error) {
	now, err := listening()
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(now, func(fd int, a string) bool { return before[fd] == a })
	return slices.Collect(maps.Values(now)), nil
}

// pair gives the bound address of each of asked, which are as resolve gives them, or false where
// they do not fit. Descriptors do not tell: one that another goroutine closes between two calls
// of listen is given out again. So the addresses do, those first that leave least open.
func pair(asked, bound []string) ([]string, bool) {
	if len(asked) != len(bound) {
		return nil, false
	}
	order := make([]int, len(asked))
	for n := range order {
		order[n] = n
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(leavesOpen(asked[a]), leavesOpen(asked[b])) })
	free, out := slices.Clone(bound), make([]string, len(asked))
	for _, n := range order {
		at := slices.IndexFunc(free, func(b string) bool { return fits(asked[n], b) })
		if at < 0 {
			return nil, false
		}
		out[n] = free[at]
		free = slices.Delete(free, at, at+1)
	}
	return out, true
}

// leavesOpen is how much of an address the kernel chooses: nothing, the port, or the host as well.
func leavesOpen(asked string) int {
	host, port, err := net.SplitHostPort(asked)
	switch {
	case err != nil || port != "0":
		return 0
	case !unspecified(host):
		return 1
	}
	return 2
}

func fits(asked, bound string) bool {
	host, port, err := net.SplitHostPort(asked)
	boundHost, boundPort, boundErr := net.SplitHostPort(bound)
	if err != nil || boundErr != nil {
		return asked == bound // a socket's path
	}
	return (port == "0" || port == boundPort) && (host == boundHost || unspecified(host))
}

func unspecified(host string) bool { return host == "" || net.ParseIP(host).IsUnspecified() }
