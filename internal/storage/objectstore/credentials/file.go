package credentials

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"
)

// fileSource is a profile of a shared file. PID 1 has sent the content; it is read again every minute,
// when the storage process can, and whenever the server has refused what it said before, since
// credentials are rotated by writing the file anew.
type fileSource struct {
	path, profile string
	content       []byte // as PID 1 read it; what serves while the file cannot be read

	env         func(name string) string
	sts         sts
	environment func() (Source, error) // for credential_source; nil: not to be had
	signed      bool                   // the endpoint signs, so that no program is run for keys that it drops
	portal      string                 // of single sign-on; empty: AWS's
}

func (f *fileSource) String() string {
	return fmt.Sprintf("the profile %q of S3_CREDENTIALS_FILE=%q", f.profile, f.path)
}

// Read implements Source.
func (f *fileSource) Read(ctx context.Context) (Credentials, error) {
	if f.path == "" {
		return f.read(ctx, f.content)
	}
	content, err := os.ReadFile(f.path)
	if err != nil {
		if len(f.content) > 0 && (errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist)) {
			return f.read(ctx, f.content) // only PID 1 may read it
		}
		return Credentials{}, &Error{From: f.String(), Err: err, Hint: "make the file readable for sandbox-init"}
	}
	if err := f.check(content); err != nil {
		if len(f.content) > 0 && f.check(f.content) == nil {
			return f.read(ctx, f.content) // half written: the next look finds it whole
		}
		return Credentials{}, err
	}
	f.content = content
	return f.read(ctx, content)
}

// check says what is wrong with the file, as far as can be told without asking others.
func (f *fileSource) check(content []byte) error {
	p, err := parseProfiles(content)
	if err == nil {
		err = p.check(f.profile, nil)
	}
	if err != nil {
		return f.fail(err, Lasts)
	}
	return nil
}

func (f *fileSource) fail(err error, o Outlook) error {
	return &Error{From: f.String(), Err: err, Outlook: o,
		Hint: "write [" + f.profile + "] with aws_access_key_id, aws_secret_access_key and, for temporary ones, aws_session_token, or with role_arn and source_profile, credential_process or sso_session"}
}

func (f *fileSource) read(ctx context.Context, content []byte) (Credentials, error) {
	if err := f.check(content); err != nil {
		return Credentials{}, err
	}
	p, _ := parseProfiles(content) // check has
	c, err := f.resolve(ctx, p, f.profile)
	if err != nil {
		return c, f.fail(err, outlook(err))
	}
	return c, nil
}

// check follows source_profile to its end.
func (p profiles) check(name string, before []string) error {
	s, ok := p[name]
	if !ok {
		if len(before) > 0 {
			return fmt.Errorf("there is no profile %q, which source_profile names", name)
		}
		return errors.New("there is no such profile")
	}
	if s[broken] != "" {
		return errors.New(s[broken])
	}
	if s["role_arn"] != "" {
		switch source := s["source_profile"]; {
		case s["web_identity_token_file"] != "" || s["credential_source"] != "":
			return nil
		case source == "":
			return errors.New("role_arn needs source_profile, credential_source or web_identity_token_file")
		case source == name:
			return p.checkOwn(name)
		case slices.Contains(before, source):
			return fmt.Errorf("source_profile %q leads back to itself", source)
		default:
			return p.check(source, append(before, name))
		}
	}
	return p.checkOwn(name)
}

// checkOwn looks at what a profile itself has: keys, or where it gets them.
func (p profiles) checkOwn(name string) error {
	s := p[name]
	if s["aws_access_key_id"] == "" && s["aws_secret_access_key"] == "" {
		if _, ok, err := p.ssoOf(name); ok {
			return err
		}
		if command := s["credential_process"]; command != "" {
			_, err := splitCommand(command)
			return err
		}
	}
	switch {
	case s["aws_access_key_id"] == "":
		return errors.New("aws_access_key_id is missing")
	case s["aws_secret_access_key"] == "":
		return errors.New("aws_secret_access_key is missing")
	}
	return nil
}

// resolve asks for what a profile that has been checked says.
func (f *fileSource) resolve(ctx context.Context, p profiles, name string) (Credentials, error) {
	s := p[name]
	role := s["role_arn"]
	if role == "" {
		return f.own(ctx, p, name)
	}
	if file := s["web_identity_token_file"]; file != "" {
		w := &webIdentity{file: file, role: role, session: s["role_session_name"], sts: f.sts}
		return w.Read(ctx)
	}
	by, err := f.source(ctx, p, name)
	if err != nil {
		return by, err
	}
	return f.sts.assume(ctx, by, role, s["role_session_name"], s["external_id"])
}

// source is the credentials that assume the role of a profile.
func (f *fileSource) source(ctx context.Context, p profiles, name string) (Credentials, error) {
	s := p[name]
	switch source := s["source_profile"]; {
	case source == name:
		return f.own(ctx, p, name)
	case source != "":
		return f.resolve(ctx, p, source)
	case f.environment == nil:
		return Credentials{}, &lastingError{fmt.Errorf("credential_source = %s is not available here", s["credential_source"])}
	}
	src, err := f.environment()
	if err != nil {
		return Credentials{}, &lastingError{err}
	}
	return src.Read(ctx)
}

// own is the credentials of a profile itself, in the SDKs' order: keys, single sign-on, a process.
func (f *fileSource) own(ctx context.Context, p profiles, name string) (Credentials, error) {
	if p[name]["aws_access_key_id"] != "" {
		return p.static(name), nil
	}
	if o, ok, _ := p.ssoOf(name); ok { // check has looked at it
		return f.askSSO(ctx, o)
	}
	if f.signed {
		return Credentials{}, &lastingError{errors.New("credential_process is not run where the endpoint signs")}
	}
	return f.runProcess(ctx, p[name]["credential_process"])
}

func (p profiles) static(name string) Credentials {
	s := p[name]
	return Credentials{
		AccessKey: s["aws_access_key_id"], Secret: s["aws_secret_access_key"], Token: cmp.Or(s["aws_session_token"], s["aws_security_token"]),
		Renew: time.Now().Add(renewAgain),
	}
}
