package forward

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Port is one port of the sandbox's, and where it is to appear.
type Port struct {
	Port    uint16
	Address netip.Addr // of this machine
	Local   uint16     // 0: any that is free
}

// loopback is where a port appears unless an address is given: no other machine
// is let in by accident.
var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// ParsePort reads [ADDRESS:]PORT[:LOCALPORT]; an IPv6 address is in brackets.
func ParsePort(text string) (Port, error) {
	p := Port{Address: loopback}
	fail := func(why string) (Port, error) {
		return p, fmt.Errorf("cannot forward %q: %s; it must be [ADDRESS:]PORT[:LOCALPORT], as 8080, 8080:0 or 0.0.0.0:8080:80", text, why)
	}
	rest := text
	if address, after, ok := cutAddress(text); ok {
		if address == "localhost" {
			address = loopback.String()
		}
		a, err := netip.ParseAddr(address)
		if err != nil {
			return fail(fmt.Sprintf("%q is neither a port nor an address of this machine", address))
		}
		p.Address, rest = a, after
	}
	port, local, given := strings.Cut(rest, ":")
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return fail(fmt.Sprintf("%q is no port from 1 to 65535", port))
	}
	p.Port, p.Local = uint16(n), uint16(n)
	if given {
		if n, err = strconv.ParseUint(local, 10, 16); err != nil {
			return fail(fmt.Sprintf("%q is no port from 0 to 65535", local))
		}
		p.Local = uint16(n)
	}
	return p, nil
}

// cutAddress takes an address off the front: what is in brackets, or is no number.
func cutAddress(text string) (address, rest string, ok bool) {
	if inner, found := strings.CutPrefix(text, "["); found {
		address, rest, ok = strings.Cut(inner, "]:")
		return address, rest, ok
	}
	address, rest, ok = strings.Cut(text, ":")
	if _, err := strconv.ParseUint(address, 10, 64); err == nil {
		return "", "", false
	}
	return address, rest, ok
}

func (p Port) listen() (*net.TCPListener, error) {
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(p.Address, p.Local)))
	if err != nil {
		return nil, p.explain(err)
	}
	return l, nil
}
