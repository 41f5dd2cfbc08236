package config

import (
	"strings"

	"github.com/matrx/sandbox/contract"
)

// contradictions are values that are right by themselves and wrong together.
func (c *Config) contradictions(given map[string]bool) []Mistake {
	var wrong []Mistake
	if c.SandboxID == "" {
		wrong = append(wrong, Mistake{Variable: contract.EnvSandboxID, Problem: "must be set, since this host has no name"})
	}
	wrong = append(wrong, c.unboundContradictions(given)...)
	if c.HasStorage() && !c.Unbound && !given[contract.EnvUserID] {
		wrong = append(wrong, Mistake{Variable: contract.EnvUserID, Problem: "must be set when S3_BUCKET is: it names the workspace"})
	}
	if c.HasStorage() && !c.Unbound && c.S3.Region == "" {
		wrong = append(wrong, Mistake{Variable: contract.EnvS3Region, Problem: "must be set when S3_BUCKET is and S3_ENDPOINT is not: AWS refuses requests that are signed for another region"})
	}
	if len(c.Proxy.Forwards) > 0 && c.Proxy.Socket == "" {
		wrong = append(wrong, Mistake{Variable: contract.EnvProxySocket, Problem: "must be set when PROXY_FORWARDS is: it takes the connections out"})
	}
	if c.Proxy.Socket != "" && !c.mayKeep() {
		wrong = append(wrong, Mistake{Variable: contract.EnvProxySocket, Problem: "needs S3_BUCKET: the storage process is what serves it"})
	}
	// Each of these holds what must neither be uploaded nor be hidden by a mount.
	apart := []struct{ name, path, other, otherPath string }{
		{contract.EnvHotPath, c.HotPath, contract.EnvColdPath, c.ColdPath},
		{contract.EnvColdPath, c.ColdPath, contract.EnvHotPath, c.HotPath},
		{contract.EnvStateDir, c.StateDir, contract.EnvHotPath, c.HotPath},
		{contract.EnvStateDir, c.StateDir, contract.EnvColdPath, c.ColdPath},
		{contract.EnvRunDir, c.RunDir, contract.EnvHotPath, c.HotPath},
		{contract.EnvRunDir, c.RunDir, contract.EnvColdPath, c.ColdPath},
		{contract.EnvReadyFile, c.ReadyFile, contract.EnvHotPath, c.HotPath},
		{contract.EnvReadyFile, c.ReadyFile, contract.EnvColdPath, c.ColdPath},
		{contract.EnvColdCachePath, c.Cold.CachePath, contract.EnvHotPath, c.HotPath},
		{contract.EnvColdCachePath, c.Cold.CachePath, contract.EnvColdPath, c.ColdPath},
	}
	for _, a := range apart {
		if a.path != "" && a.otherPath != "" && within(a.path, a.otherPath) {
			wrong = append(wrong, Mistake{a.name, shown(a.path), "must not lie inside " + a.other + " (" + shown(a.otherPath) + ")"})
		}
	}
	return wrong
}

// mayKeep says whether there is storage, or may be once the sandbox is bound.
func (c *Config) mayKeep() bool { return c.HasStorage() || c.Unbound }

// unboundContradictions: what waits for its user has none, and is told of it in one way.
func (c *Config) unboundContradictions(given map[string]bool) []Mistake {
	var wrong []Mistake
	switch {
	case !c.Unbound && c.BindSocket != "":
		wrong = append(wrong, Mistake{contract.EnvBindSocket, shown(c.BindSocket), "needs SANDBOX_UNBOUND=1: no other sandbox is bound"})
	case c.Unbound && c.BindSocket == "":
		wrong = append(wrong, Mistake{Variable: contract.EnvBindSocket, Problem: "must be set when SANDBOX_UNBOUND is: the message that binds the sandbox comes there"})
	}
	for _, name := range []string{contract.EnvUserID, contract.EnvInstance} {
		if c.Unbound && given[name] {
			wrong = append(wrong, Mistake{Variable: name, Problem: "must not be set when SANDBOX_UNBOUND is: the message on BIND_SOCKET says it"})
		}
	}
	return wrong
}

// exposedCredentials are credentials in the environment of a container that was
// started as root: PID 1 keeps them from its children, but the engine hands them
// to every process that is exec'd in.
func (c *Config) exposedCredentials(environ []string) []Mistake {
	if !c.mayKeep() || c.S3.AllowEnvCredentials {
		return nil
	}
	var wrong []Mistake
	for _, kv := range environ {
		if k, v, _ := strings.Cut(kv, "="); v != "" && isCredential(k) {
			wrong = append(wrong, Mistake{Variable: k, Problem: "credentials in the container's environment are seen by everything that is exec'd into it; " +
				"use S3_CREDENTIALS_FILE or a unix S3_ENDPOINT that signs, or accept it with ALLOW_ENV_CREDENTIALS=1"})
		}
	}
	return wrong
}

// isCredential says whether a variable's value lets its reader act as the account:
// keys and tokens, and the addresses from which the SDK fetches them.
func isCredential(name string) bool {
	switch name {
	case "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN":
		return true
	}
	return secretS3(name)
}

// Withheld says whether a variable is kept from the workload: AWS_*, S3_*SECRET*
// and *_CREDENTIALS*.
func Withheld(name string) bool {
	return strings.HasPrefix(name, "AWS_") ||
		secretS3(name) ||
		strings.Contains(name, "_CREDENTIALS")
}

func secretS3(name string) bool { // S3_*SECRET*
	rest, ok := strings.CutPrefix(name, "S3_")
	return ok && strings.Contains(rest, "SECRET")
}
