package contract

// Labels of the containers and volumes that a host makes for a sandbox. The images'
// own labels begin in the same way and have other names.
const (
	LabelPrefix    = "dev.matrx.sandbox."
	LabelSandboxID = LabelPrefix + "sandbox-id"
	LabelUserID    = LabelPrefix + "user-id"
	LabelDataDir   = LabelPrefix + "data-dir" // the host's directory that knows the sandbox
)
