package config

import (
	"errors"
	"net"
	"strconv"
	"strings"
)

// forwards reads PORT=HOST:PORT[,...].
func forwards(s string) ([]Forward, error) {
	var out []Forward
	seen := map[uint64]bool{ProxyPort: true}
	for item := range strings.SplitSeq(s, ",") {
		if item == "" {
			continue
		}
		local, to, _ := strings.Cut(item, "=")
		port, err := strconv.ParseUint(local, 10, 16)
		host, far, terr := net.SplitHostPort(to)
		n, ferr := strconv.ParseUint(far, 10, 16)
		if err != nil || terr != nil || ferr != nil || port == 0 || n == 0 || host == "" || strings.ContainsAny(host, " \r\n\t/") {
			return nil, errors.New("must be PORT=HOST:PORT, comma-separated")
		}
		if seen[port] {
			return nil, errors.New("must name each port once, and not 3128, which is the proxy's")
		}
		seen[port] = true
		out = append(out, Forward{Port: uint16(port), To: to})
	}
	return out, nil
}
