// Package config is the one place that reads the environment and sandbox.conf.
//
// Load takes both and gives one Config, or one error that names every mistake
// at once: the variable, the value given and what is allowed.
package config

import (
	"syscall"
	"time"
)

// Config is the whole configuration of a sandbox. It holds no secrets, so that it
// may be logged and sent to the storage process as it is.
type Config struct {
	SandboxID string // [A-Za-z0-9][A-Za-z0-9._-]{0,127}; default: the host name
	UserID    string // same form; required when there is storage

	HotPath  string // absolute; the home
	ColdPath string // absolute; neither in the other
	StateDir string // absolute; survives a restart of the container
	RunDir   string // absolute; emptied by a restart

	ReadyFile string // absolute; exists exactly while ready

	LogLevel string // debug, info, warn, error

	ShutdownTimeout time.Duration // from SIGTERM to exit; 30 s
	HydrateTimeout  time.Duration // 300 s
	LeaseWait       time.Duration // how long to wait for another holder; 0 s
	LeaseTakeover   string        // the INSTANCE of a holder known to be dead

	StopSignal syscall.Signal // what the command gets instead of SIGTERM; SIGTERM

	S3    S3
	Hot   Hot
	Cold  Cold
	Proxy Proxy

	Unbound    bool   // no user's yet: a message on BindSocket makes it one's
	BindSocket string // absolute; empty unless Unbound
	Instance   string // the INSTANCE to take the lease as; empty: the state directory's own, or a new one

	ExecSocket string // where the host reaches the exec server; empty: there is none

	MemorySocket string // where the host moves the workload's processes; empty: they are not held
}

// HasStorage says whether anything is kept: a bucket was named.
func (c *Config) HasStorage() bool { return c.S3.Bucket != "" }

// S3 says where the workspace lives. Credentials are not part of it.
type S3 struct {
	Bucket              string // empty: no storage
	Region              string // us-east-1 when an endpoint is given and no region is
	Endpoint            string // empty for AWS, http://..., https://..., unix:///PATH
	Prefix              string // in front of USER_ID; "users/"; empty or ends in "/"
	ForcePathStyle      bool   // implied by a unix endpoint
	CredentialsFile     string // an AWS shared-credentials file, read by PID 1
	AllowEnvCredentials bool
}

// UserPrefix is the only part of the bucket that this sandbox touches: S3_PREFIX + USER_ID + "/".
func (c *Config) UserPrefix() string { return c.S3.Prefix + c.UserID + "/" }

// HotPrefix is where the objects of the home are.
func (c *Config) HotPrefix() string { return c.UserPrefix() + "hot/" }

// ColdPrefix is where the objects of the cold path are.
func (c *Config) ColdPrefix() string { return c.UserPrefix() + "cold/" }

// MetaPrefix is where the lease, the manifest and the bundles are.
func (c *Config) MetaPrefix() string { return c.UserPrefix() + ".sandbox/" }

// Hot configures the hot path.
type Hot struct {
	Exclude      []string      // gitignore patterns that replace the default ones when HOT_SYNC_EXCLUDE is set
	Quiet        time.Duration // a file is uploaded when it has been unchanged for this long; 500 ms
	MaxStaleness time.Duration // and at the latest this long after its change; 5 s
}

// Proxy is the way out of a sandbox that has no network.
type Proxy struct {
	Socket   string // the host's proxy; empty: none
	Forwards []Forward
}

// Forward is a port of 127.0.0.1 whose connections go to one host.
type Forward struct {
	Port uint16
	To   string // HOST:PORT
}

// ProxyPort is where the host's proxy appears on 127.0.0.1.
const ProxyPort = 3128

// Cold configures the cold path.
type Cold struct {
	MetadataTTL   time.Duration // 60 s
	CachePath     string        // default: cold-cache below the state directory
	CacheMaxBytes int64         // 0: a tenth of the disk
	Required      bool
}

// DefaultExclude is left out of the hot path unless HOT_SYNC_EXCLUDE says otherwise.
var DefaultExclude = []string{".cache/", "__pycache__/", "*.pyc", ".DS_Store"}
