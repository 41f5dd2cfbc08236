package objectstore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/storage/objectstore/protocol"
	"github.com/matrx/sandbox/internal/wire"
)

// Credentials sign requests.
type Credentials struct {
	AccessKey, Secret, Token string

	Expires time.Time // zero: not known to end
	Renew   time.Time // when to ask the source again; zero: when the server refuses them
}

// anonymous requests are not signed: the other end of a unix socket signs them.
func (c *Credentials) anonymous() bool { return c.AccessKey == "" }

func (c *Credentials) key() protocol.Key {
	return protocol.Key{ID: c.AccessKey, Secret: c.Secret, Token: c.Token}
}

// same says that both sign alike.
func (c *Credentials) same(d *Credentials) bool {
	return c.AccessKey == d.AccessKey && c.Secret == d.Secret && c.Token == d.Token
}

// source is one place that credentials come from.
type source interface {
	read(ctx context.Context) (Credentials, error) // asks it anew; never two at a time
	String() string                                // for messages: the profile "default" of ...
}

const (
	// renewBefore is how long before their end credentials are asked for again.
	renewBefore = 5 * time.Minute
	// renewAgain is how soon a source is asked again that failed or said nothing new.
	renewAgain = time.Minute
)

// keyring holds the credentials in use, and asks their source again when they are about to
// end and when the server has refused them.
type keyring struct {
	source source
	now    func() time.Time

	mu       sync.Mutex
	current  *Credentials
	fetching chan struct{} // closed when the request to the source that is under way is over
}

// get is the credentials to sign with now.
func (k *keyring) get(ctx context.Context) (*Credentials, error) {
	for {
		k.mu.Lock()
		now := k.now()
		c, wait := k.current, k.fetching
		usable := c != nil && (c.Expires.IsZero() || now.Before(c.Expires))
		if usable && (wait != nil || c.Renew.IsZero() || now.Before(c.Renew)) {
			k.mu.Unlock()
			return c, nil
		}
		if wait == nil {
			break
		}
		k.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	done := make(chan struct{})
	k.fetching = done
	k.mu.Unlock()
	c, err := k.source.read(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fetching = nil
	close(done)

	now := k.now()
	if err != nil {
		old := k.current
		if old == nil || !old.Expires.IsZero() && !now.Before(old.Expires) {
			return nil, err
		}
		c = *old // good until it ends
	}
	if !c.Renew.IsZero() && c.Renew.Before(now.Add(renewAgain)) {
		c.Renew = now.Add(renewAgain)
	}
	k.current = &c
	return &c, nil
}

// refused says that the server did not take old. It reports whether there are others now:
// the source is asked again, unless another request has done so meanwhile.
func (k *keyring) refused(ctx context.Context, old *Credentials) bool {
	k.mu.Lock()
	if k.current == old {
		k.current = nil
	}
	k.mu.Unlock()
	c, err := k.get(ctx)
	return err == nil && !c.same(old)
}

// newSource picks the source: the file that PID 1 has read, then the environment's
// variables in the order of the SDKs' default chain, then the instance's role; none
// at all behind a unix endpoint.
func newSource(c config.S3, w wire.Credentials, unix bool, client *http.Client) (source, error) {
	env := func(name string) string { return w.Env[name] }
	profile := env("AWS_PROFILE")
	if profile == "" {
		profile = "default"
	}
	if len(w.File) > 0 || c.CredentialsFile != "" {
		f := &fileSource{path: c.CredentialsFile, profile: profile, content: w.File}
		_, err := f.parse(w.File)
		if len(w.File) == 0 {
			_, err = f.read(context.Background())
		}
		return f, err
	}
	if id, secret := env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY"); id != "" || secret != "" {
		if id == "" || secret == "" {
			return nil, errors.New("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY go together, and only one of them is set")
		}
		return static{Credentials{AccessKey: id, Secret: secret, Token: env("AWS_SESSION_TOKEN")}, "AWS_ACCESS_KEY_ID of the environment"}, nil
	}
	if p := env("AWS_SHARED_CREDENTIALS_FILE"); p != "" {
		f := &fileSource{path: p, profile: profile}
		_, err := f.read(context.Background())
		return f, err
	}
	if file, role := env("AWS_WEB_IDENTITY_TOKEN_FILE"), env("AWS_ROLE_ARN"); file != "" && role != "" {
		return newWebIdentity(file, role, env("AWS_ROLE_SESSION_NAME"), c.Region, env("AWS_ENDPOINT_URL_STS"), client), nil
	}
	if rel, full := env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"), env("AWS_CONTAINER_CREDENTIALS_FULL_URI"); rel != "" || full != "" {
		return newContainerSource(rel, full, env("AWS_CONTAINER_AUTHORIZATION_TOKEN"), env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"), client)
	}
	if unix {
		return static{from: "none: the endpoint signs"}, nil
	}
	if env("AWS_EC2_METADATA_DISABLED") == "true" {
		return nil, errors.New("there are no credentials; give S3_CREDENTIALS_FILE")
	}
	return newInstanceSource(env("AWS_EC2_METADATA_SERVICE_ENDPOINT"), client), nil
}

// static never changes.
type static struct {
	Credentials
	from string
}

func (s static) read(context.Context) (Credentials, error) { return s.Credentials, nil }
func (s static) String() string                            { return s.from }

// sourceError is a source that could not be read.
type sourceError struct {
	from string
	err  error
	hint string
	// passing says that another attempt may do: the service did not answer.
	passing bool
}

func (e *sourceError) Error() string { return fmt.Sprintf("%s: %v", e.from, e.err) }
func (e *sourceError) Unwrap() error { return e.err }
