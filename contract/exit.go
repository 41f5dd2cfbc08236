package contract

// Exit codes of sandbox-init. Any other code is the workload's own, or 128+n
// when signal n ended it. The values above 63 are those of BSD sysexits(3).
const (
	ExitUnsaved       = 74  // EX_IOERR: not everything was saved in time; the log and UnsavedFileName list what is missing
	ExitHydrate       = 75  // EX_TEMPFAIL: the workspace could not be hydrated, or another sandbox holds its lease
	ExitConfig        = 78  // EX_CONFIG: the configuration is wrong; nothing was started
	ExitNotExecutable = 126 // the command was found and could not be executed
	ExitNotFound      = 127 // the command was not found
	ExitSignalBase    = 128
)
