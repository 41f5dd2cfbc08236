package egress

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Rule allows a host: HOST, HOST:PORT, *.DOMAIN, *.DOMAIN:PORT, an IP address likewise.
// Without a port it is 80 and 443.
type Rule struct {
	Host string // lower-case, without a final dot; "*.example.com" is every name below, and not itself
	Port uint16 // 0: 80 and 443
}

// ParseRule reads one.
func ParseRule(text string) (Rule, error) {
	wrong := fmt.Errorf("%q must be HOST or HOST:PORT, a name, *.DOMAIN or an IP address ([::1]:PORT)", text)
	var host, port string
	if h, p, err := net.SplitHostPort(text); err == nil {
		if host, port = h, p; port == "" {
			return Rule{}, wrong
		}
	} else {
		host = strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")
	}
	r := Rule{Host: canonical(host)}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return Rule{}, wrong
		}
		r.Port = uint16(n)
	}
	if _, err := netip.ParseAddr(r.Host); err != nil && checkName(strings.TrimPrefix(r.Host, "*.")) != nil {
		return Rule{}, wrong
	}
	return r, nil
}

var errName = errors.New("it is no host's name")

// checkName holds a name to what can be one: labels of letters, digits, '-' and '_'.
func checkName(name string) error {
	if name == "" || len(name) > 253 {
		return errName
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return errName
		}
	}
	return nil
}

func canonical(host string) string {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap().String() // one spelling of each address
	}
	return host
}

// trust is what a rule says of the addresses that a name resolves to.
type trust int

const (
	nothing  trust = iota // not allowed
	wildcard              // public addresses
	named                 // those of private networks as well
	literal               // the address itself
)

// allows says whether a rule lets a host and port through. The host is canonical.
func (r Rule) allows(host string, port uint16) trust {
	if r.Port != port && (r.Port != 0 || port != 80 && port != 443) {
		return nothing
	}
	if domain, ok := strings.CutPrefix(r.Host, "*"); ok {
		if _, err := netip.ParseAddr(host); err != nil && strings.HasSuffix(host, domain) && len(host) > len(domain) {
			return wildcard
		}
		return nothing
	}
	if r.Host != host {
		return nothing
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return literal
	}
	return named
}
