package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/matrx/sandbox/contract"
)

// Bind is Load for a sandbox that was started unbound with the environment own: the configuration that b makes of it,
// and the environment with which a start had made the same.
func Bind(own []string, b contract.Bind, confPath string) (*Config, []string, error) {
	said := identity(b)
	wrong := refusedNames(b.Environment, said)
	if len(wrong) > 0 {
		return nil, nil, &Error{Mistakes: wrong}
	}
	var environ []string
	for _, kv := range own {
		name, _, _ := strings.Cut(kv, "=")
		if _, again := b.Environment[name]; !again && !slices.Contains(fields, name) && name != contract.EnvUnbound && name != contract.EnvBindSocket {
			environ = append(environ, kv)
		}
	}
	for _, values := range []map[string]string{b.Environment, said} {
		for _, name := range slices.Sorted(maps.Keys(values)) {
			environ = append(environ, name+"="+values[name])
		}
	}
	c, err := load(Source{Environ: environ, Bound: true}, confPath)
	return c, environ, err
}

// fields are the variables that a Bind's fields say; the container's own do not count.
var fields = []string{contract.EnvSandboxID, contract.EnvUserID, contract.EnvInstance, contract.EnvS3Bucket, contract.EnvS3Prefix}

// identity is what they say.
func identity(b contract.Bind) map[string]string {
	said := map[string]string{contract.EnvSandboxID: b.SandboxID, contract.EnvUserID: b.UserID, contract.EnvS3Bucket: b.S3Bucket, contract.EnvInstance: b.Instance}
	maps.DeleteFunc(said, func(_, value string) bool { return value == "" })
	if b.S3Prefix != nil {
		said[contract.EnvS3Prefix] = *b.S3Prefix
	}
	return said
}

// readAtBoot are the variables that were used before the sandbox was bound.
var readAtBoot = []string{
	contract.EnvHotPath, contract.EnvColdPath, contract.EnvStateDir, contract.EnvRunDir, contract.EnvReadyFile, contract.EnvLogLevel,
	contract.EnvExecSocket, contract.EnvMemorySocket, contract.EnvUnbound, contract.EnvBindSocket,
}

// refusedNames are the variables that a bind's environment cannot have.
func refusedNames(environment, said map[string]string) (wrong []Mistake) {
	if said[contract.EnvSandboxID] == "" {
		wrong = append(wrong, Mistake{Variable: "sandbox_id", Problem: "must be given"})
	}
	for _, name := range slices.Sorted(maps.Keys(environment)) {
		value := environment[name]
		switch {
		case name == "" || strings.ContainsAny(name, "=\x00") || strings.ContainsRune(value, 0):
			wrong = append(wrong, Mistake{Variable: shown(name), Problem: "cannot be a variable: a name is not empty and has no '=', and neither name nor value has a NUL"})
		case slices.Contains(fields, name):
			wrong = append(wrong, Mistake{name, shown(value), "is said by the message's field of that name"})
		case slices.Contains(readAtBoot, name):
			wrong = append(wrong, Mistake{name, shown(value), "was read at boot: give it to the container"})
		}
	}
	return wrong
}
