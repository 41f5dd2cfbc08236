package credentials

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/wire"
)

// Find picks the source: the file that PID 1 has read, then the environment's
// variables in the order of the SDKs' default chain, then the instance's role; none
// at all behind a unix endpoint.
func Find(c config.S3, w wire.Credentials, unix bool, client *http.Client) (Source, error) {
	env := func(name string) string { return w.Env[name] }
	profile := env("AWS_PROFILE")
	if profile == "" {
		profile = "default"
	}
	if len(w.File) > 0 || c.CredentialsFile != "" {
		f := &fileSource{path: c.CredentialsFile, profile: profile, content: w.File}
		_, err := f.parse(w.File)
		if len(w.File) == 0 {
			_, err = f.Read(context.Background())
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
		_, err := f.Read(context.Background())
		return f, err
	}
	if file, role := env("AWS_WEB_IDENTITY_TOKEN_FILE"), env("AWS_ROLE_ARN"); file != "" && role != "" {
		return newWebIdentity(file, role, env("AWS_ROLE_SESSION_NAME"), cmp.Or(env("AWS_REGION"), c.Region), env("AWS_ENDPOINT_URL_STS"), client), nil
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

func (s static) Read(context.Context) (Credentials, error) { return s.Credentials, nil }
func (s static) String() string                            { return s.from }
