package access

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/internal/host/hostd/egress"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// proxyPort is the proxy's in the sandbox (internal/config has it, on the other side).
const proxyPort = 3128

// DecideMode reads --access: restricted, full, or allow=HOST[:PORT][=LOCALPORT],...
// Asked for nothing, it is the image's own; an image that says nothing, which includes one
// without a manifest, gets no network. Asking for a network of the engine's is asking
// for full.
func DecideMode(m *catalog.Manifest, asked, network string) (datadir.Access, error) {
	list, allow := strings.CutPrefix(asked, "allow=")
	if network != "" && asked != "" && asked != string(datadir.Full) {
		return datadir.Access{}, fmt.Errorf("--network %s goes with --access full alone: with %s there is no network to join", network, asked)
	}
	switch {
	case allow:
		return allowed(list)
	case asked == string(datadir.Full), asked == "" && network != "":
		return datadir.Access{Mode: datadir.Full, Network: network}, nil
	case asked == "" && m != nil && m.Access == catalog.Full:
		return datadir.Access{Mode: datadir.Full}, nil
	case asked == "", asked == string(datadir.Restricted):
		return datadir.Access{Mode: datadir.Restricted}, nil
	}
	return datadir.Access{}, fmt.Errorf("--access is %q; it must be restricted (no network), full, or allow=HOST[:PORT],... (these hosts and no others)", asked)
}

func allowed(list string) (datadir.Access, error) {
	a := datadir.Access{Mode: datadir.Allow}
	var errs []error
	taken := map[string]bool{strconv.Itoa(proxyPort): true}
	for item := range strings.SplitSeq(list, ",") {
		host, local, forward := strings.Cut(item, "=")
		r, err := egress.ParseRule(host)
		if err != nil {
			errs = append(errs, fmt.Errorf("--access allow: %w", err))
			continue
		}
		a.Allow = append(a.Allow, host)
		if !forward {
			continue
		}
		n, err := strconv.ParseUint(local, 10, 16)
		local = strconv.FormatUint(n, 10) // one spelling
		switch {
		case err != nil || n < 1024:
			errs = append(errs, fmt.Errorf("--access allow: %q must end in a local port of 1024 to 65535", item))
		case r.Port == 0 || strings.HasPrefix(r.Host, "*"):
			errs = append(errs, fmt.Errorf("--access allow: %q must be HOST:PORT=LOCALPORT, one host and its port", item))
		case taken[local]:
			errs = append(errs, fmt.Errorf("--access allow: %q takes the local port %s, which is taken", item, local))
		default:
			taken[local] = true
			a.Forwards = append(a.Forwards, local+"="+net.JoinHostPort(r.Host, strconv.Itoa(int(r.Port))))
		}
	}
	return a, errors.Join(errs...)
}

// Environment is what programs in a sandbox with a proxy have to know. It belongs to the
// container, so that sessions that are exec'd in have it as well.
func Environment() []string {
	proxy := fmt.Sprintf("http://127.0.0.1:%d", proxyPort)
	const direct = "localhost,127.0.0.1,::1"
	return []string{
		"HTTP_PROXY=" + proxy, "HTTPS_PROXY=" + proxy, "NO_PROXY=" + direct,
		"http_proxy=" + proxy, "https_proxy=" + proxy, "no_proxy=" + direct, // curl reads http_proxy in this case alone
		"NODE_USE_ENV_PROXY=1", // Node.js from 22.21 and 24.5 on reads them then; before, none
		fmt.Sprintf("JAVA_TOOL_OPTIONS=-Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=%d -Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=%[1]d -Dhttp.nonProxyHosts=localhost|127.*|[::1]", proxyPort),
	}
}
