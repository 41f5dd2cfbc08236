package datadir

import (
	"time"

	"github.com/matrx/sandbox/contract"
)

// Record is what is known of one sandbox. It has all that is needed to serve its
// storage again after the daemon was killed, and to end it well when the program that
// started it is gone.
type Record struct {
	SandboxID string    `json:"sandbox_id"`
	UserID    string    `json:"user_id"`
	Image     string    `json:"image"` // as the operator named it
	ImageID   string    `json:"image_id,omitempty"`
	Command   []string  `json:"command,omitempty"`
	Created   time.Time `json:"created"`

	Store Store `json:"store"`

	// Container is empty until the engine has made it.
	Container string `json:"container,omitempty"`
	// Engine is the engine's own ID: another engine that does not know the container says nothing about it.
	Engine string `json:"engine,omitempty"`
	// EngineHost is where it answers. The daemon was perhaps started by a program that used another.
	EngineHost string `json:"engine_host,omitempty"`
	// Dirs says that home and state are directories: Sandbox.HomeDir and StateDir, or with Limits.Disk
	// those of Sandbox.Disk.
	Dirs bool `json:"dirs,omitempty"`
	// Volumes are the engine's, of home and state, without Dirs. Records of earlier versions that have
	// a limit on the disk name volumes that are Sandbox.Disk's directories.
	Volumes []string `json:"volumes,omitempty"`
	// Fresh says that home and state were empty when it started.
	Fresh bool `json:"fresh"`

	// FirstLife is the container's first start, as the engine knows it. Fresh is said of that life alone:
	// what a later one finds in them may be all that there is of it.
	FirstLife time.Time `json:"first_life,omitzero"`

	// Limits are what it may use, decided when it was made.
	Limits Limits `json:"limits,omitzero"`

	// DiskUnlimited is why there is no limit on its disk although there was to be one.
	DiskUnlimited string `json:"disk_unlimited,omitempty"`

	// Access is what it may reach, likewise.
	Access Access `json:"access,omitzero"`

	// Devices are what of the machine's hardware it was given: values of --gpus and --device.
	GPUs    string   `json:"gpus,omitempty"`
	Devices []string `json:"devices,omitempty"`

	// Confinement is what its processes are held to, likewise.
	Confinement Confinement `json:"confinement,omitzero"`

	Ended *Ended `json:"ended,omitempty"`
}

// Access says what a sandbox may reach. The zero one is a record of before there was a choice.
type Access struct {
	Mode     Mode     `json:"mode"`
	Network  string   `json:"network,omitempty"`  // of the engine's, with Full; empty: its default
	Allow    []string `json:"allow,omitempty"`    // hosts, with Allow: see egress.Rule
	Forwards []string `json:"forwards,omitempty"` // LOCALPORT=HOST:PORT
}

// Mode is an access mode.
type Mode string

// The modes.
const (
	Restricted Mode = "restricted" // no network
	Full       Mode = "full"       // the engine's
	Allow      Mode = "allow"      // no network, and a proxy to the hosts that are named
)

// Confinement is what a sandbox's processes are held to besides capabilities and limits. The
// zero one is a record of before there was any.
type Confinement struct {
	ReadOnlyRoot bool   `json:"read_only_root"`
	Seccomp      string `json:"seccomp"`  // SeccompSandbox, ...
	AppArmor     string `json:"apparmor"` // a profile's name, AppArmorNone or AppArmorUnconfined

	// Runtime is the engine's name of the OCI runtime; empty: its default.
	Runtime string `json:"runtime,omitempty"`
}

// Which calls to the kernel a sandbox's processes may make.
const (
	SeccompSandbox = "sandbox"      // those that every sandbox may
	SeccompBrowser = "browser"      // and those of a browser's own sandbox
	SeccompEngine  = "the engine's" // those that the engine allows: it takes no profile
)

// What is said of AppArmor where no profile of ours is in force.
const (
	AppArmorNone       = "none"         // the kernel has no AppArmor
	AppArmorUnconfined = "unconfined"   // ours could not be loaded, and the engine's denies the cold path's mount
	AppArmorEngine     = "the engine's" // no mount is asked for
)

// Limits are what a sandbox may use. Zero is none of its own: for
// OpenFiles what the engine gives every container, for Tmp what the disk has.
type Limits struct {
	Memory    int64         `json:"memory_bytes"` // and no swap beyond it
	CPUs      float64       `json:"cpus"`
	Processes int64         `json:"processes"` // the workload's; sandbox-init's own threads come on top
	OpenFiles int64         `json:"open_files,omitempty"`
	Timeout   time.Duration `json:"timeout_ns,omitempty"` // from the container's start
	Tmp       int64         `json:"tmp_bytes,omitempty"`  // of /tmp, which is in memory then
	Shm       int64         `json:"shm_bytes"`
	Disk      int64         `json:"disk_bytes,omitempty"`  // of home and state together, see Sandbox.Disk
	Store     int64         `json:"store_bytes,omitempty"` // of its user in the embedded S3; 0: the daemon's default
}

// Store says where the workspace is kept. It has no secrets.
type Store struct {
	Embedded bool   `json:"embedded"`
	Bucket   string `json:"bucket"`
	Prefix   string `json:"prefix"` // S3_PREFIX
	Region   string `json:"region"`

	Endpoint        string `json:"endpoint,omitempty"`
	PathStyle       bool   `json:"path_style,omitempty"`
	Profile         string `json:"profile,omitempty"`
	CredentialsFile string `json:"credentials_file,omitempty"`
	ConfigFile      string `json:"config_file,omitempty"`

	// AccessKey says which credentials of the operator's environment sign, and names no secret:
	// see hostd.Credentials. Empty: the files above, or what AWS's order finds.
	AccessKey string `json:"access_key,omitempty"`
}

// RunsImage is the image of the sandbox's containers: the very one that was checked when the
// sandbox was made, even when another has got its name since. Its name where a record has no ID.
func (r Record) RunsImage() string {
	if r.ImageID != "" {
		return r.ImageID
	}
	return r.Image
}

// UserPrefix is the only part of the bucket that the sandbox may reach.
func (r Record) UserPrefix() string { return r.Store.Prefix + r.UserID + "/" }

// Ended says how a sandbox ended.
type Ended struct {
	// Life is the container's start, as the engine knows it, of the run that ended so. The verdict
	// says nothing about another run of the same container.
	Life time.Time `json:"life,omitzero"`

	At       time.Time `json:"at"`
	ExitCode int       `json:"exit_code"`
	Outcome  Outcome   `json:"outcome"`
	Reason   string    `json:"reason,omitempty"` // in words, when there is more to say

	// OOM are the processes that the kernel ended at the sandbox's memory limit.
	OOM []Victim `json:"oom,omitempty"`

	// Kept says that container, home and state are kept, because they may hold what S3 does not.
	Kept bool `json:"kept"`
	// Removed says that all three are gone.
	Removed bool `json:"removed"`

	Hydrate *contract.Transfer    `json:"hydrate,omitempty"`
	Flush   *contract.FlushResult `json:"flush,omitempty"`
}

// Victim is a process that the kernel ended for want of memory.
type Victim struct {
	Name string `json:"name"`
	PID  int    `json:"pid"` // on the host
	UID  int    `json:"uid"`
}

// Saved says that all that had changed is in S3.
func (e Ended) Saved() bool {
	switch e.Outcome {
	case Completed, Stopped, Timeout:
		return true
	case OutOfMemory:
		return e.Flush != nil // told, see teardown
	}
	return false
}

// Outcome is how a sandbox ended, in one word.
type Outcome string

// The outcomes.
const (
	Completed     Outcome = "completed"      // the workload ended; all that had changed is saved
	Stopped       Outcome = "stopped"        // stopped from outside; all that had changed is saved
	Timeout       Outcome = "timeout"        // stopped by its time limit; all that had changed is saved
	Unsaved       Outcome = "unsaved"        // not everything could be saved (exit 74)
	StorageFailed Outcome = "storage failed" // nothing could be said of what is saved (exit 74)
	NotStarted    Outcome = "not started"    // no workspace, wrong configuration, or the container did not start
	Killed        Outcome = "killed"         // ended without a flush
	OutOfMemory   Outcome = "out of memory"  // the kernel ended the command, or all of it; Kept says whether there was a flush
	ContainerGone Outcome = "container gone" // another program removed the container
)
