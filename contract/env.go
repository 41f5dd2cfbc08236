package contract

// The environment variables that sandbox-init reads. internal/config is the one
// place that reads them; their defaults and ranges are documented there and in
// the README's table.
const (
	EnvSandboxID = "SANDBOX_ID"
	EnvUserID    = "USER_ID"

	EnvHotPath  = "HOT_PATH"
	EnvColdPath = "COLD_PATH"
	EnvStateDir = "SANDBOX_STATE_DIR"
	EnvRunDir   = "SANDBOX_RUN_DIR"

	EnvReadyFile = "SANDBOX_READY_FILE"
	EnvLogLevel  = "SANDBOX_LOG_LEVEL"

	EnvS3Bucket            = "S3_BUCKET"
	EnvS3Region            = "S3_REGION"
	EnvS3Endpoint          = "S3_ENDPOINT"
	EnvS3Prefix            = "S3_PREFIX"
	EnvS3ForcePathStyle    = "S3_FORCE_PATH_STYLE"
	EnvS3CredentialsFile   = "S3_CREDENTIALS_FILE"
	EnvAllowEnvCredentials = "ALLOW_ENV_CREDENTIALS"

	EnvShutdownTimeout    = "SHUTDOWN_TIMEOUT_SECONDS"
	EnvHydrateTimeout     = "HYDRATE_TIMEOUT_SECONDS"
	EnvLeaseWait          = "LEASE_WAIT_SECONDS"
	EnvLeaseTakeover      = "LEASE_TAKEOVER"
	EnvWorkloadStopSignal = "WORKLOAD_STOP_SIGNAL"

	EnvHotSyncExclude      = "HOT_SYNC_EXCLUDE"
	EnvHotSyncQuiet        = "HOT_SYNC_QUIET_MS"
	EnvHotSyncMaxStaleness = "HOT_SYNC_MAX_STALENESS_SECONDS"

	// EnvProxySocket is the host's proxy for a sandbox without a network, which appears at
	// 127.0.0.1:3128; EnvProxyForwards are further ports there, for what is no HTTP.
	EnvProxySocket   = "PROXY_SOCKET"
	EnvProxyForwards = "PROXY_FORWARDS"

	// EnvExecSocket is where the host starts processes, and reaches files and ports; see HostExecSocketName.
	EnvExecSocket = "EXEC_SOCKET"

	// EnvMemorySocket is where the host moves what belongs to the workload; see HostMemorySocketName.
	EnvMemorySocket = "MEMORY_SOCKET"

	// EnvUnbound starts a sandbox that is no user's yet, and EnvBindSocket is where it becomes one's; see Bind.
	EnvUnbound    = "SANDBOX_UNBOUND"
	EnvBindSocket = "BIND_SOCKET"

	// EnvInstance is the INSTANCE as which the lease is taken, where the program that starts a sandbox names it itself.
	EnvInstance = "SANDBOX_INSTANCE"

	EnvColdMetadataTTL   = "COLD_METADATA_TTL_SECONDS"
	EnvColdCachePath     = "COLD_CACHE_PATH"
	EnvColdCacheMaxBytes = "COLD_CACHE_MAX_BYTES"
	EnvColdRequired      = "COLD_REQUIRED"
)
