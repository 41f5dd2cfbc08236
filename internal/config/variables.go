package config

import (
	"time"

	"github.com/matrx/sandbox/contract"
)

// Variable is one row of the table of variables, which the README shows.
type Variable struct {
	Name    string
	Default string // as a reader should see it; empty: none
	Range   string // what is allowed
	Meaning string

	// set takes a value that is not empty, or an empty one where emptyOK.
	set     func(c *Config, value string) error
	emptyOK bool // an empty value means empty; elsewhere it means the default
}

// variables is every variable that sandbox-init reads, in the order in which they
// are explained. Load is driven by it, so that the table and the loader agree.
func variables() []Variable {
	return []Variable{
		{Name: contract.EnvSandboxID, Default: "the host name", Range: identifierForm,
			Meaning: "names this sandbox in logs, status, conflict copies and the lease",
			set:     func(c *Config, v string) error { c.SandboxID = v; return identifier(v) }},
		{Name: contract.EnvUserID, Range: identifierForm,
			Meaning: "whose workspace this is; required when S3_BUCKET is set",
			set:     func(c *Config, v string) error { c.UserID = v; return identifier(v) }},

		pathVariable(contract.EnvHotPath, contract.DefaultHotPath, "the home, kept in S3", func(c *Config) *string { return &c.HotPath }),
		pathVariable(contract.EnvColdPath, contract.DefaultColdPath, "where the cold prefix appears", func(c *Config) *string { return &c.ColdPath }),
		pathVariable(contract.EnvStateDir, contract.DefaultStateDir, "the journal and the list of unsaved files; survives a restart of the container", func(c *Config) *string { return &c.StateDir }),
		pathVariable(contract.EnvRunDir, contract.DefaultRunDir, "the control socket and state.json", func(c *Config) *string { return &c.RunDir }),
		pathVariable(contract.EnvReadyFile, contract.DefaultReadyFile, "a file that exists exactly while the sandbox is ready", func(c *Config) *string { return &c.ReadyFile }),
		{Name: contract.EnvLogLevel, Default: "info", Range: "debug, info, warn, error",
			Meaning: "the least level that is logged", set: setLogLevel},

		{Name: contract.EnvS3Bucket, Range: "3 to 255 letters, digits, '.', '_', '-'", emptyOK: true,
			Meaning: "the bucket that keeps the workspace; empty: nothing is kept, and status says `storage: none`",
			set:     optional(bucket, func(c *Config) *string { return &c.S3.Bucket })},
		{Name: contract.EnvS3Region, Default: "AWS_REGION, AWS_DEFAULT_REGION; us-east-1 with an endpoint", Range: "a region's name",
			Meaning: "the bucket's region; required on AWS",
			set:     func(c *Config, v string) error { c.S3.Region = v; return region(v) }},
		{Name: contract.EnvS3Endpoint, Range: "http://HOST[:PORT], https://HOST[:PORT], unix:///PATH", emptyOK: true,
			Meaning: "the S3 server; empty: AWS",
			set:     optional(endpoint, func(c *Config) *string { return &c.S3.Endpoint })},
		{Name: contract.EnvS3Prefix, Default: "users/", Range: "empty, or ends in /", emptyOK: true,
			Meaning: "stands in front of USER_ID in every key",
			set:     func(c *Config, v string) error { c.S3.Prefix = v; return prefix(v) }},
		boolVariable(contract.EnvS3ForcePathStyle, "1 with a unix endpoint, else 0", "bucket in the path instead of the host name, for stores that need it", func(c *Config) *bool { return &c.S3.ForcePathStyle }),
		{Name: contract.EnvS3CredentialsFile, Range: "an absolute path", emptyOK: true,
			Meaning: "an AWS shared-credentials file, read by PID 1 alone; empty: web identity, the ECS or EKS endpoint, the instance's role, in AWS's order",
			set:     optionalPath(func(c *Config) *string { return &c.S3.CredentialsFile })},
		boolVariable(contract.EnvAllowEnvCredentials, "0", "accept credentials in the container's environment, where every exec sees them, although started as root", func(c *Config) *bool { return &c.S3.AllowEnvCredentials }),

		secondsVariable(contract.EnvShutdownTimeout, "30", 1, 86400, "the whole budget from SIGTERM to exit; the container's own grace must be 5 s longer", func(c *Config) *time.Duration { return &c.ShutdownTimeout }),
		secondsVariable(contract.EnvHydrateTimeout, "300", 1, 86400, "how long hydrate may take, retries included", func(c *Config) *time.Duration { return &c.HydrateTimeout }),
		secondsVariable(contract.EnvLeaseWait, "0", 0, 86400, "how long to wait for another sandbox that holds the lease", func(c *Config) *time.Duration { return &c.LeaseWait }),
		{Name: contract.EnvLeaseTakeover, Range: identifierForm, emptyOK: true,
			Meaning: "the INSTANCE of a lease's holder that is known to be dead",
			set:     optional(identifier, func(c *Config) *string { return &c.LeaseTakeover })},
		{Name: contract.EnvWorkloadStopSignal, Default: "TERM", Range: "a signal's name or number, RTMIN+n",
			Meaning: "what the command gets instead of SIGTERM when the sandbox stops",
			set:     func(c *Config, v string) (err error) { c.StopSignal, err = signal(v); return err }},

		{Name: contract.EnvHotSyncExclude, Default: ".cache/,__pycache__/,*.pyc,.DS_Store", Range: "gitignore patterns, comma-separated", emptyOK: true,
			Meaning: "what of the home is left out of S3, in place of the default",
			set:     func(c *Config, v string) (err error) { c.Hot.Exclude, err = patterns(v); return err }},
		{Name: contract.EnvHotSyncQuiet, Default: "500", Range: "0 to 60000 ms",
			Meaning: "a file is uploaded once it has been unchanged for this long",
			set: func(c *Config, v string) (err error) {
				c.Hot.Quiet, err = duration(v, time.Millisecond, 0, 60000)
				return err
			}},
		secondsVariable(contract.EnvHotSyncMaxStaleness, "5", 1, 3600, "and at the latest this long after its change", func(c *Config) *time.Duration { return &c.Hot.MaxStaleness }),

		{Name: contract.EnvProxySocket, Range: "an absolute path", emptyOK: true,
			Meaning: "the host's HTTP proxy, a unix socket, which then appears at 127.0.0.1:3128; empty: none",
			set:     optionalPath(func(c *Config) *string { return &c.Proxy.Socket })},
		{Name: contract.EnvProxyForwards, Range: "PORT=HOST:PORT, comma-separated", emptyOK: true,
			Meaning: "ports of 127.0.0.1 whose connections that proxy takes to one host each",
			set:     func(c *Config, v string) (err error) { c.Proxy.Forwards, err = forwards(v); return err }},

		{Name: contract.EnvExecSocket, Range: "an absolute path", emptyOK: true,
			Meaning: "a unix socket to make, on which the host starts processes and reaches files and ports as the agent; its directory must be root's alone, and so must the start be; empty: no exec server",
			set:     optionalPath(func(c *Config) *string { return &c.ExecSocket })},

		boolVariable(contract.EnvUnbound, "0", "start as no user's and wait for the message on BIND_SOCKET that says whose this is; see docs/bind.md", func(c *Config) *bool { return &c.Unbound }),
		{Name: contract.EnvBindSocket, Range: "an absolute path", emptyOK: true,
			Meaning: "a unix socket to make, on which that message comes; its directory must be root's alone, and so must the start be",
			set:     optionalPath(func(c *Config) *string { return &c.BindSocket })},
		{Name: contract.EnvInstance, Range: "32 hexadecimal digits", emptyOK: true,
			Meaning: "the INSTANCE as which the lease is taken, never one that another sandbox has; empty: the sandbox makes one",
			set:     optional(instance, func(c *Config) *string { return &c.Instance })},

		{Name: contract.EnvMemorySocket, Range: "an absolute path", emptyOK: true,
			Meaning: "the host's socket for a divided memory: what belongs to the workload is held before it runs until the host has moved it, for 2 s at most; empty: it is not held",
			set:     optionalPath(func(c *Config) *string { return &c.MemorySocket })},

		secondsVariable(contract.EnvColdMetadataTTL, "60", 0, 86400, "how long listings and attributes of the cold path are trusted", func(c *Config) *time.Duration { return &c.Cold.MetadataTTL }),
		{Name: contract.EnvColdCachePath, Default: "cold-cache below SANDBOX_STATE_DIR", Range: "an absolute path",
			Meaning: "the cold path's disk cache",
			set:     func(c *Config, v string) (err error) { c.Cold.CachePath, err = absolute(v); return err }},
		{Name: contract.EnvColdCacheMaxBytes, Default: "0", Range: "0 to 2^60 bytes",
			Meaning: "the most that cache holds; 0: a tenth of the disk",
			set: func(c *Config, v string) (err error) {
				c.Cold.CacheMaxBytes, err = integer(v, 0, 1<<60)
				return err
			}},
		boolVariable(contract.EnvColdRequired, "0", "refuse to start (exit 75) when the cold path cannot be mounted", func(c *Config) *bool { return &c.Cold.Required }),
	}
}
