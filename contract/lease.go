package contract

// LeaseName is the key of the lease below S3_PREFIX + USER_ID + "/".
const LeaseName = ".sandbox/lease"

// LeaseHolder is what the body of the lease says of its holder; other fields are the
// storage process's own. The program that starts containers reads it to tell a holder that is
// dead (LEASE_TAKEOVER) from one that lives.
type LeaseHolder struct {
	SandboxID string `json:"sandbox_id"`
	Instance  string `json:"instance"`
	Released  bool   `json:"released,omitempty"` // given back: any sandbox may take it at once
}
