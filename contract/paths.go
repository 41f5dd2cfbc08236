package contract

// Paths inside every image. Those that a variable can move are defaults.
const (
	DefaultHotPath  = "/home/agent"
	DefaultColdPath = "/data/cold"
	DefaultStateDir = "/var/lib/sandbox" // journal, the list of unsaved files; survives a restart of the container
	DefaultRunDir   = "/run/sandbox"     // sockets and state.json; a new one each start

	InitBinary   = "/usr/local/bin/sandbox-init"
	ScriptsDir   = "/opt/sandbox/scripts"
	ConfigDir    = "/opt/sandbox/config"
	ConfigFile   = "/opt/sandbox/config/sandbox.conf"
	HooksDir     = "/opt/sandbox/hooks" // with pre-start.d and pre-stop.d
	PreStartDir  = HooksDir + "/pre-start.d"
	PreStopDir   = HooksDir + "/pre-stop.d"
	Capabilities = "/etc/sandbox/capabilities.json"

	// DefaultReadyFile exists exactly while the sandbox is ready.
	DefaultReadyFile = "/tmp/.sandbox_ready"

	// HostDir is where the host's directory of sockets is mounted, and
	// HostStorageSocket the one on which it serves or signs S3 requests. A host whose
	// directory may belong to the agent's own UID mounts it one level deeper, below a
	// directory of root's, and says so in S3_ENDPOINT.
	HostDir           = "/run/sandbox-host"
	HostStorageSocket = HostDir + "/" + HostStorageSocketName
)

// Names below the run directory and the state directory.
const (
	ControlSocketName = "control.sock" // in the run directory: the control socket's HTTP API
	StateFileName     = "state.json"   // in the run directory: what PID 1 knows, see State
	UnsavedFileName   = "unsaved.json" // in the state directory: what the last flush could not save
	BoundFileName     = "bound.json"   // there, too: the Bind of a sandbox that was started unbound

	HostStorageSocketName = "storage.sock" // in the host's directory of sockets
	HostProxySocketName   = "proxy.sock"   // there, too
	HostExecSocketName    = "exec.sock"    // likewise: the exec server's, see internal/execapi
	HostMemorySocketName  = "memory.sock"  // likewise: see MemoryMoved
	HostBindSocketName    = "bind.sock"    // likewise: sandbox-init's own, see Bind
)

// HostStoreHeader is a header of a host's answers on its socket: the verbs whose conditions its store honours, as
// StoreStatus has them, with a space between. A sandbox believes its host, and asks nothing of the store
// then. HostStoreEmbedded is its value for the S3 that the host itself serves.
const (
	HostStoreHeader   = "X-Sandbox-Store-Honours"
	HostStoreEmbedded = "PUT DELETE COMPLETE"
)

// The agent: the user as whom every workload runs.
const (
	AgentUser = "agent"
	AgentUID  = 1000
	AgentGID  = 1000
)
