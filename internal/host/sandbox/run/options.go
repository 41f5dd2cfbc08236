package run

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/hostd"
	"github.com/matrx/sandbox/internal/host/sandbox/access"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// embeddedBucket is the bucket of the embedded S3 in which all workspaces are.
const embeddedBucket = "workspaces"

// DefaultPrefix is what S3_PREFIX is unless it is set.
const DefaultPrefix = "users/"

// defaultShutdown is what SHUTDOWN_TIMEOUT_SECONDS is unless it or the image says otherwise.
const defaultShutdown = 30 * time.Second

// graceOverShutdown is how much later than SHUTDOWN_TIMEOUT_SECONDS the engine kills: a
// sandbox that uses its whole budget ends by itself.
const graceOverShutdown = 5 * time.Second

// Options say what to run.
type Options struct {
	DataDir   string // empty: datadir.Default
	SandboxID string // empty: made from the user's
	UserID    string // empty: the operator's name
	Image     string
	Digest    string   // what the image must be, when Image is known by more than its name; empty: any
	Command   []string // empty: an idle sandbox
	Env       []string // KEY=VALUE, or KEY to take the value from this program's environment

	Interactive bool // the sandbox reads what this program is given
	TTY         bool
	Detach      bool // leave it when it is ready

	Shutdown time.Duration // SHUTDOWN_TIMEOUT_SECONDS; 0: the image's, else defaultShutdown
	LogLevel string        // SANDBOX_LOG_LEVEL
	Network  string        // empty: the engine's default
	NoFUSE   bool          // no mount of the cold path, and none of the rights that it takes
	Runtime  string        // an OCI runtime of the engine's; empty: its default
	GPUs     string        // see engine.ParseDevices
	Devices  []string      // likewise
	ReadOnly *bool         // the root file system; nil: with --access restricted alone

	Limits access.Asked
	Access string // see access.DecideMode

	Store Store

	Daemon hostd.Program

	// Trace, when given, is told of each step of the start.
	Trace func(Step)
}

// Store says where the workspace is; without bucket it is the embedded S3.
type Store struct {
	Bucket    string
	Endpoint  string
	Region    string
	Prefix    string
	PathStyle bool
}

// record makes the record of a new sandbox, and finds every mistake in the options.
func (o Options) record() (datadir.Record, error) {
	r := datadir.Record{SandboxID: o.SandboxID, UserID: o.UserID, Image: o.Image, Command: o.Command, Created: time.Now().UTC(), Fresh: true}
	if r.UserID == "" {
		r.UserID = operator()
	}
	if r.SandboxID == "" {
		r.SandboxID = r.UserID[:min(len(r.UserID), 100)] + "-" + newID()
	}
	r.GPUs, r.Devices = o.GPUs, o.Devices
	_, derr := engine.ParseDevices(o.GPUs, o.Devices)
	store, err := o.Store.record()
	r.Store = store
	err = errors.Join(err, derr)
	err = errors.Join(err,
		datadir.CheckID("--user-id", r.UserID),
		datadir.CheckID("--sandbox-id", r.SandboxID),
		o.checkStreams(),
		checkText(append(slices.Clone(o.Command), o.Env...)),
	)
	if o.Shutdown != 0 && o.Shutdown < time.Second || o.Shutdown%time.Second != 0 {
		err = errors.Join(err, fmt.Errorf("--stop-timeout is %s; it must be whole seconds, at least one", o.Shutdown))
	}
	for _, kv := range o.Env {
		err = errors.Join(err, checkVariable(kv))
	}
	return r, err
}

// checkText refuses what the engine's interface, which is text, would make something else of.
func checkText(args []string) error {
	for _, a := range args {
		if !utf8.ValidString(a) {
			return fmt.Errorf("%q is not UTF-8, and the engine would pass on another text; have a program in the sandbox read it from a file", a)
		}
	}
	return nil
}

func (o Options) checkStreams() error {
	if o.Detach && (o.Interactive || o.TTY) {
		return errors.New("--detach goes with neither --interactive nor --tty: a detached sandbox has no terminal to read from")
	}
	return nil
}

// record gives the store, with what this program's environment says of credentials, but for
// the secrets.
func (s Store) record() (datadir.Store, error) {
	prefix := s.Prefix
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		return datadir.Store{}, fmt.Errorf("--s3-prefix is %q; it must be empty or end in a slash", prefix)
	}
	if s.Bucket == "" {
		if s.Endpoint != "" || s.Region != "" || s.PathStyle {
			return datadir.Store{}, errors.New("--s3-endpoint, --s3-region and --s3-force-path-style need --s3-bucket; without it the embedded S3 is used")
		}
		return datadir.Store{Embedded: true, Bucket: embeddedBucket, Prefix: prefix, Region: "us-east-1"}, nil
	}
	if s.Endpoint != "" && !strings.HasPrefix(s.Endpoint, "http://") && !strings.HasPrefix(s.Endpoint, "https://") {
		return datadir.Store{}, fmt.Errorf("--s3-endpoint is %q; it must begin with http:// or https://", s.Endpoint)
	}
	region := firstOf(s.Region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"))
	if region == "" {
		if s.Endpoint == "" {
			return datadir.Store{}, errors.New("the region of the bucket is not known; name it with --s3-region or AWS_REGION")
		}
		region = "us-east-1"
	}
	return datadir.Store{
		Bucket: s.Bucket, Prefix: prefix, Region: region, Endpoint: s.Endpoint, PathStyle: s.PathStyle,
		Profile:         os.Getenv("AWS_PROFILE"),
		CredentialsFile: os.Getenv("AWS_SHARED_CREDENTIALS_FILE"),
		ConfigFile:      os.Getenv("AWS_CONFIG_FILE"),
		AccessKey:       os.Getenv("AWS_ACCESS_KEY_ID"),
	}, nil
}

// given are the variables that a run sets itself, and the option that sets them.
var given = map[string]string{
	contract.EnvSandboxID:          "--sandbox-id",
	contract.EnvUserID:             "--user-id",
	contract.EnvS3Bucket:           "--s3-bucket",
	contract.EnvS3Region:           "--s3-region",
	contract.EnvS3Endpoint:         "--s3-endpoint",
	contract.EnvS3Prefix:           "--s3-prefix",
	contract.EnvS3ForcePathStyle:   "--s3-force-path-style",
	contract.EnvShutdownTimeout:    "--stop-timeout",
	contract.EnvLogLevel:           "--log-level",
	contract.EnvProxySocket:        "--access",
	contract.EnvProxyForwards:      "--access",
	contract.ForwardSocketVariable: "nothing: `sandbox forward` needs it where it is",
	contract.EnvExecSocket:         "nothing: `sandbox exec` needs it where it is",
	contract.EnvMemorySocket:       "--memory",
	contract.EnvUnbound:            "nothing: the sandbox has its user from its start on",
	contract.EnvBindSocket:         "nothing: the sandbox has its user from its start on",
	contract.EnvInstance:           "nothing: the sandbox makes its own, and no two may have one",
	contract.EnvS3CredentialsFile:  "nothing: the host signs, and no credentials enter the sandbox",
	contract.EnvHotPath:            "nothing: the home is mounted",
	contract.EnvStateDir:           "nothing: the state is mounted",
	contract.EnvRunDir:             "nothing: the host looks there",
}

func checkVariable(kv string) error {
	name, _, _ := strings.Cut(kv, "=")
	if name == "" {
		return fmt.Errorf("--env is %q; it must be KEY=VALUE or KEY", kv)
	}
	if by, ok := given[name]; ok {
		return fmt.Errorf("--env sets %s, which is set by %s", name, by)
	}
	if strings.HasPrefix(name, "AWS_") && secret.MatchString(name) {
		return fmt.Errorf("--env sets %s: credentials do not enter a sandbox; give them to this program, which signs for it", name)
	}
	return nil
}

var secret = regexp.MustCompile(`KEY|SECRET|TOKEN`)

// environment is what the container is given.
func (o Options) environment(r datadir.Record, shutdown time.Duration, takeover string) []string {
	env := []string{
		contract.EnvSandboxID + "=" + r.SandboxID,
		contract.EnvUserID + "=" + r.UserID,
		contract.EnvS3Bucket + "=" + r.Store.Bucket,
		contract.EnvS3Region + "=" + r.Store.Region,
		contract.EnvS3Prefix + "=" + r.Store.Prefix,
		contract.EnvS3Endpoint + "=unix://" + storageSocket,
		contract.ForwardSocketVariable + "=" + forwardSocket,
		contract.EnvExecSocket + "=" + execSocket,
		contract.EnvShutdownTimeout + "=" + strconv.Itoa(int(shutdown/time.Second)),
		contract.EnvLogLevel + "=" + firstOf(o.LogLevel, "warn"),
	}
	if hostd.DividesMemory() && r.Limits.Memory != 0 && !isGVisor(r.Confinement.Runtime) { // whose processes are none of the host's
		env = append(env, contract.EnvMemorySocket+"="+memorySocket)
	}
	if r.Access.Mode == datadir.Allow {
		// Before the operator's own: what is set with --env wins.
		env = append(env, access.Environment()...)
		env = append(env, contract.EnvProxySocket+"="+proxySocket, contract.EnvProxyForwards+"="+strings.Join(r.Access.Forwards, ","))
	}
	if takeover != "" {
		env = append(env, contract.EnvLeaseTakeover+"="+takeover)
	}
	for _, kv := range o.Env {
		if !strings.Contains(kv, "=") {
			value, ok := os.LookupEnv(kv)
			if !ok {
				continue
			}
			kv += "=" + value
		}
		env = append(env, kv)
	}
	return env
}

// shutdown is SHUTDOWN_TIMEOUT_SECONDS: the option's, else the image's own.
func (o Options) shutdown(i engine.Image) time.Duration {
	if o.Shutdown != 0 {
		return o.Shutdown
	}
	for _, kv := range i.Env {
		if v, ok := strings.CutPrefix(kv, contract.EnvShutdownTimeout+"="); ok {
			if n, err := strconv.Atoi(v); err == nil && n > 0 {
				return time.Duration(n) * time.Second
			}
		}
	}
	return defaultShutdown
}

// operator is the name of who runs this program, as far as it can be a USER_ID.
func operator() string {
	if u, err := user.Current(); err == nil && datadir.CheckID("", u.Username) == nil {
		return u.Username
	}
	return "default"
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
