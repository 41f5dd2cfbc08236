package contract

// A container that is started with SANDBOX_UNBOUND=1 is no user's until one message on BIND_SOCKET, a unix stream
// socket, makes it one's. A client writes one Bind as JSON, ends its direction, and reads one BindAnswer as JSON to
// the end. The answer says that the sandbox is bound; that it is ready, or cannot be, is said as for any other.

// MaxBind bounds a Bind in bytes of JSON.
const MaxBind = 256 << 10

// Bind says whose a sandbox becomes. With it the sandbox is what a start with these values in its environment had made.
type Bind struct {
	SandboxID string `json:"sandbox_id"`          // SANDBOX_ID
	UserID    string `json:"user_id,omitempty"`   // USER_ID
	Instance  string `json:"instance,omitempty"`  // SANDBOX_INSTANCE; empty: the sandbox makes one
	S3Bucket  string `json:"s3_bucket,omitempty"` // S3_BUCKET; empty: nothing is kept

	// S3Prefix is S3_PREFIX, whose empty value differs from none; nil: the default.
	S3Prefix *string `json:"s3_prefix,omitempty"`

	// Command replaces the container's own; nil: that one.
	Command []string `json:"command,omitempty"`

	// Environment is added to the container's own. It cannot name what the fields above say, nor what is read at boot.
	Environment map[string]string `json:"environment,omitempty"`
}

// BindAnswer is the answer to a Bind.
type BindAnswer struct {
	// Refused is empty when this Bind has bound the sandbox, else one of the reasons below. A refused Bind has
	// changed nothing.
	Refused string `json:"refused,omitempty"`
	Reason  string `json:"reason,omitempty"` // the sentence

	// SandboxID and UserID are whose the sandbox is, also after a refusal: a client that got no answer learns by a
	// second Bind whether its first one counted.
	SandboxID string `json:"sandbox_id,omitempty"`
	UserID    string `json:"user_id,omitempty"`
}

// Values of BindAnswer.Refused.
const (
	BindInvalid  = "invalid" // the message, or the configuration that it makes, is wrong
	BindTooLarge = "too-large"
	BindBound    = "bound"    // the sandbox is a user's already
	BindStopping = "stopping" // the sandbox stops
	BindUsed     = "used"     // files are in what must be a new sandbox
	BindFailed   = "failed"   // the sandbox could not keep whose it is
)
