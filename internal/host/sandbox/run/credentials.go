package run

import (
	"context"
	"fmt"

	"github.com/matrx/sandbox/internal/host/hostd"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// environmentCredentials are those that sign for a sandbox whose record names an access key.
// The record holds no secret, so each program that needs them is given them.
func environmentCredentials(r datadir.Record) (hostd.Credentials, error) {
	if r.Store.AccessKey == "" {
		return hostd.Credentials{}, nil
	}
	own, ok := hostd.EnvironmentCredentials()
	if !ok {
		return own, fmt.Errorf("cannot reach the bucket %q for the sandbox %s: its credentials come from the environment and are kept nowhere; set AWS_ACCESS_KEY_ID (it was %s) and AWS_SECRET_ACCESS_KEY",
			r.Store.Bucket, r.SandboxID, r.Store.AccessKey)
	}
	return own, nil
}

// authorize gives them to the daemon, each time that there is a new one.
func (x *session) authorize(ctx context.Context) error {
	if x.credentials.AccessKey == "" {
		return nil
	}
	return x.daemon.Authorize(ctx, x.record.SandboxID, x.credentials)
}
