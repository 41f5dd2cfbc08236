package privilege

import (
	"strings"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/config"
)

// WorkloadEnviron is the environment of everything that runs as the agent: this
// process's own without what could be a storage credential (config.Withheld), and with
// the agent's identity. It also names what was left out.
func WorkloadEnviron(environ []string, home string) (env, withheld []string) {
	identity := []string{"HOME=" + home, "USER=" + contract.AgentUser, "LOGNAME=" + contract.AgentUser}
	env = make([]string, 0, len(environ)+len(identity))
	for _, kv := range environ {
		name, _, _ := strings.Cut(kv, "=")
		switch {
		case config.Withheld(name):
			withheld = append(withheld, name)
		case name == "HOME", name == "USER", name == "LOGNAME":
		default:
			env = append(env, kv)
		}
	}
	return append(env, identity...), withheld
}

// ServiceEnviron is the storage process's and the exec server's own: nothing that could be a credential either,
// since an environment is fixed before the process can make itself non-dumpable. Storage
// gets them over the socketpair. Where to find roots of trust, proxies and
// temporary space passes.
func ServiceEnviron(environ []string) []string {
	var env []string
	for _, kv := range environ {
		switch name, _, _ := strings.Cut(kv, "="); name {
		case "PATH", "TMPDIR", "TZ",
			"SSL_CERT_FILE", "SSL_CERT_DIR",
			"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
			"GODEBUG", "GOTRACEBACK", "GOMEMLIMIT", "GOGC":
			env = append(env, kv)
		}
	}
	return env
}
