package credentials

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"os"

	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/wire"
)

// Find picks the source: the file that PID 1 has read, then the environment's
// variables in the order of the SDKs' default chain, then the instance's role; none
// at all behind a unix endpoint.
func Find(c config.S3, w wire.Credentials, unix bool, client *http.Client) (Source, error) {
	env := func(name string) string { return w.Env[name] }
	f := finder{env: env, unix: unix, client: client,
		sts: newSTS(cmp.Or(env("AWS_REGION"), c.Region), env("AWS_ENDPOINT_URL_STS"), client)}
	if len(w.File) > 0 || c.CredentialsFile != "" {
		return f.file(c.CredentialsFile, w.File)
	}
	if id, secret := env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY"); id != "" || secret != "" {
		if id == "" || secret == "" {
			return nil, errors.New("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY go together, and only one of them is set")
		}
		return static{Credentials{AccessKey: id, Secret: secret, Token: env("AWS_SESSION_TOKEN")}, "AWS_ACCESS_KEY_ID of the environment"}, nil
	}
	if p := env("AWS_SHARED_CREDENTIALS_FILE"); p != "" {
		return f.file(p, nil)
	}
	return f.services()
}

// finder has what the sources are made of.
type finder struct {
	env    func(name string) string
	unix   bool
	client *http.Client
	sts    sts
}

// file is a profile of a file, which content is of when it is not empty. Without a role its
// credentials are there at once; a role is asked for when it is needed.
func (f finder) file(path string, content []byte) (Source, error) {
	s := &fileSource{path: path, profile: cmp.Or(f.env("AWS_PROFILE"), "default"), content: content, env: f.env, sts: f.sts, environment: f.services, signed: f.unix, portal: f.env("AWS_ENDPOINT_URL_SSO")}
	if len(content) == 0 {
		var err error
		if content, err = os.ReadFile(path); err != nil {
			return s, &Error{From: s.String(), Err: err, Hint: "make the file readable for sandbox-init"}
		}
	}
	return s, s.check(content)
}

// services are the sources that are asked over HTTP, and none at all behind an endpoint that signs.
func (f finder) services() (Source, error) {
	if file, role := f.env("AWS_WEB_IDENTITY_TOKEN_FILE"), f.env("AWS_ROLE_ARN"); file != "" && role != "" {
		return &webIdentity{file: file, role: role, session: f.env("AWS_ROLE_SESSION_NAME"), sts: f.sts}, nil
	}
	if rel, full := f.env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"), f.env("AWS_CONTAINER_CREDENTIALS_FULL_URI"); rel != "" || full != "" {
		return newContainerSource(rel, full, f.env("AWS_CONTAINER_AUTHORIZATION_TOKEN"), f.env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"), f.client)
	}
	if f.unix {
		return static{from: "none: the endpoint signs"}, nil
	}
	if f.env("AWS_EC2_METADATA_DISABLED") == "true" {
		return nil, errors.New("there are no credentials; give S3_CREDENTIALS_FILE")
	}
	return newInstanceSource(f.env("AWS_EC2_METADATA_SERVICE_ENDPOINT"), f.client), nil
}

// static never changes.
type static struct {
	Credentials
	from string
}

func (s static) Read(context.Context) (Credentials, error) { return s.Credentials, nil }
func (s static) String() string                            { return s.from }
