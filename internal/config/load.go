package config

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/matrx/sandbox/contract"
)

// Source is all that a configuration is made of.
type Source struct {
	Environ  []string  // KEY=VALUE, as of os.Environ; of two, the last counts
	Conf     io.Reader // sandbox.conf; nil: none
	Hostname string    // the default of SANDBOX_ID
	Root     bool      // sandbox-init runs as UID 0
	Bound    bool      // what was started unbound is no more
}

// Load reads the configuration of this process: the given environment (os.Environ
// as a rule), over the file at confPath, over the defaults. A file that does not
// exist is an empty one. The error is an *Error with every mistake.
func Load(environ []string, confPath string) (*Config, error) {
	return load(Source{Environ: environ}, confPath)
}

// load completes src by what this process finds itself in.
func load(src Source, confPath string) (*Config, error) {
	src.Root = os.Geteuid() == 0
	src.Hostname, _ = os.Hostname() // without one SANDBOX_ID is required, and the error says so
	f, err := os.Open(confPath)
	switch {
	case err == nil:
		defer f.Close()
		src.Conf = f
	case !errors.Is(err, os.ErrNotExist):
		return nil, &Error{Mistakes: []Mistake{{Variable: confPath, Problem: "cannot be read: " + err.Error() + "; make it readable or remove it"}}}
	}
	return parse(src)
}

// parse is Load without the process around it. The environment wins over the file.
func parse(src Source) (*Config, error) {
	c := defaults()
	variables := variables()
	known := func(name string) bool {
		for i := range variables {
			if variables[i].Name == name {
				return true
			}
		}
		return false
	}
	var wrong []Mistake
	values := map[string]string{}
	if src.Conf != nil {
		values, wrong = parseFile(src.Conf, known)
	}
	env := map[string]string{}
	for _, kv := range src.Environ {
		if k, v, ok := strings.Cut(kv, "="); ok {
			env[k] = v
			if known(k) {
				values[k] = v
			}
		}
	}
	if src.Hostname != "" && values[contract.EnvSandboxID] == "" {
		values[contract.EnvSandboxID] = src.Hostname
	}

	given := map[string]bool{}
	for _, v := range variables {
		value, ok := values[v.Name]
		if !ok || value == "" && !v.emptyOK {
			continue
		}
		given[v.Name] = true
		if err := v.set(c, value); err != nil {
			wrong = append(wrong, Mistake{v.Name, shown(value), err.Error()})
		}
	}
	if src.Bound {
		c.Unbound, c.BindSocket = false, ""
	}
	c.complete(given, env)
	wrong = append(wrong, c.contradictions(given)...)
	if src.Root {
		wrong = append(wrong, c.exposedCredentials(src.Environ)...)
	}
	if len(wrong) > 0 {
		return nil, &Error{Mistakes: wrong}
	}
	return c, nil
}

func defaults() *Config {
	return &Config{
		HotPath:         contract.DefaultHotPath,
		ColdPath:        contract.DefaultColdPath,
		StateDir:        contract.DefaultStateDir,
		RunDir:          contract.DefaultRunDir,
		ReadyFile:       contract.DefaultReadyFile,
		LogLevel:        "info",
		ShutdownTimeout: 30 * time.Second,
		HydrateTimeout:  300 * time.Second,
		StopSignal:      syscall.SIGTERM,
		S3:              S3{Prefix: "users/"},
		Hot: Hot{
			Exclude:      append([]string(nil), DefaultExclude...),
			Quiet:        500 * time.Millisecond,
			MaxStaleness: 5 * time.Second,
		},
		Cold: Cold{MetadataTTL: 60 * time.Second},
	}
}

// complete fills in the defaults that depend on other values.
func (c *Config) complete(given map[string]bool, env map[string]string) {
	if !given[contract.EnvColdCachePath] {
		c.Cold.CachePath = filepath.Join(c.StateDir, "cold-cache")
	}
	if c.S3.Region == "" {
		c.S3.Region = env["AWS_REGION"]
	}
	if c.S3.Region == "" {
		c.S3.Region = env["AWS_DEFAULT_REGION"]
	}
	if c.S3.Region == "" && c.S3.Endpoint != "" {
		c.S3.Region = "us-east-1"
	}
	if strings.HasPrefix(c.S3.Endpoint, "unix:") && !given[contract.EnvS3ForcePathStyle] {
		c.S3.ForcePathStyle = true
	}
}
