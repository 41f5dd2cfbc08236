package credentials

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
)

// fileSource is a profile of a file in the form that the AWS tools share ("Configuration
// and credential file settings in the AWS CLI"). PID 1 has sent the content; whoever
// rotates credentials writes the file anew, so it is read again every minute, when the
// storage process can, and whenever the server has refused what it said before.
type fileSource struct {
	path, profile string
	content       []byte // as PID 1 read it; what serves while the file cannot be read
}

func (f *fileSource) String() string {
	return fmt.Sprintf("the profile %q of S3_CREDENTIALS_FILE=%q", f.profile, f.path)
}

func (f *fileSource) Read(context.Context) (Credentials, error) {
	if f.path == "" {
		return f.parse(f.content)
	}
	content, err := os.ReadFile(f.path)
	if err != nil {
		if len(f.content) > 0 && (errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist)) {
			return f.parse(f.content) // only PID 1 may read it
		}
		return Credentials{}, &Error{From: f.String(), Err: err, Hint: "make the file readable for sandbox-init"}
	}
	c, err := f.parse(content)
	if err != nil {
		if old, e := f.parse(f.content); e == nil && len(f.content) > 0 {
			return old, nil // half written: the next look finds it whole
		}
		return c, err
	}
	f.content = content
	return c, nil
}

// parse reads "[profile]" sections of "name = value" lines, with # and ; comments.
func (f *fileSource) parse(content []byte) (Credentials, error) {
	fail := func(format string, a ...any) (Credentials, error) {
		return Credentials{}, &Error{From: f.String(), Err: fmt.Errorf(format, a...), Hint: "write [" + f.profile + "] with aws_access_key_id, aws_secret_access_key and, for temporary ones, aws_session_token"}
	}
	var c Credentials
	found, in := false, false
	n := 0
	for line := range bytes.Lines(bytes.TrimPrefix(content, []byte("\ufeff"))) {
		n++
		l := strings.TrimSpace(string(line))
		if l == "" || l[0] == '#' || l[0] == ';' {
			continue
		}
		if l[0] == '[' {
			name, _, ok := strings.Cut(l[1:], "]")
			if !ok {
				return fail("line %d: a section without \"]\"", n)
			}
			name = strings.TrimSpace(name)
			in = name == f.profile || strings.TrimSpace(strings.TrimPrefix(name, "profile ")) == f.profile
			found = found || in
			continue
		}
		if !in {
			continue
		}
		name, value, ok := strings.Cut(l, "=")
		if !ok {
			return fail("line %d is no \"name = value\"", n) // never the line itself: it may be a secret
		}
		value = strings.TrimSpace(value)
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "aws_access_key_id":
			c.AccessKey = value
		case "aws_secret_access_key":
			c.Secret = value
		case "aws_session_token", "aws_security_token":
			c.Token = value
		case "credential_process", "role_arn", "sso_session", "sso_start_url":
			return fail("line %d: %s is not supported here", n, strings.ToLower(strings.TrimSpace(name)))
		}
	}
	c.Renew = time.Now().Add(renewAgain)
	switch {
	case !found:
		return fail("there is no such profile")
	case c.AccessKey == "":
		return fail("aws_access_key_id is missing")
	case c.Secret == "":
		return fail("aws_secret_access_key is missing")
	}
	return c, nil
}
