package credentials

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"time"

	"github.com/matrx/sandbox/internal/storage/objectstore/protocol"
)

// sts is the token service that roles are asked from, and how.
type sts struct {
	endpoint string // http or https
	region   string // that its requests are signed for
	client   *http.Client
}

// newSTS is that of a region, unless an endpoint is given.
func newSTS(region, endpoint string, client *http.Client) sts {
	region = cmp.Or(region, "us-east-1")
	return sts{cmp.Or(endpoint, "https://sts."+region+"."+protocol.DNSSuffix(region)), region, client}
}

// assume trades credentials for those of a role (AssumeRole, AWS STS API reference).
func (s sts) assume(ctx context.Context, by Credentials, role, session, externalID string) (Credentials, error) {
	form := url.Values{
		"Action": {"AssumeRole"}, "Version": {"2011-06-15"}, "RoleArn": {role}, "RoleSessionName": {cmp.Or(session, defaultSession)},
	}
	if externalID != "" {
		form.Set("ExternalId", externalID)
	}
	body := form.Encode()
	u, err := url.Parse(s.endpoint)
	if err != nil || u.Host == "" {
		return Credentials{}, fmt.Errorf("AWS_ENDPOINT_URL_STS=%q is no URL", s.endpoint)
	}
	sum := sha256.Sum256([]byte(body))
	signer := protocol.Signer{Region: s.region, Service: "sts"}
	askAt := func(now time.Time) (Credentials, error) {
		h := http.Header{"Content-Type": {formType}}
		signer.Sign(h, protocol.Unsigned{
			Method: http.MethodPost, Host: u.Host, Path: "/", PayloadHash: hex.EncodeToString(sum[:]),
			Fields: []protocol.Field{protocol.NewField("Content-Type", formType)},
		}, by.Key(), now)
		return s.ask(ctx, h, body)
	}
	c, err := askAt(time.Now())
	if now, ok := otherClock(err); ok {
		return askAt(now)
	}
	return c, err
}

// otherClock is the time by the clock of a service that refused a request, where ours is so far from it that this may
// be the reason: STS says SignatureDoesNotMatch then.
func otherClock(err error) (now time.Time, ok bool) {
	s, ok := errors.AsType[*statusError](err)
	if !ok || s.date.IsZero() || time.Until(s.date).Abs() < time.Minute {
		return time.Time{}, false
	}
	return s.date, true
}

const (
	formType       = "application/x-www-form-urlencoded"
	defaultSession = "matrx-sandbox"
)

// ask sends a request for a role and reads the answer.
func (s sts) ask(ctx context.Context, h http.Header, body string) (Credentials, error) {
	b, err := ask(ctx, s.client, http.MethodPost, s.endpoint+"/", h, body)
	if err != nil {
		return Credentials{}, err
	}
	var a roleAnswer
	err = protocol.ScanXML(b, func(parent, name, text []byte) error {
		if string(parent) != "Credentials" {
			return nil
		}
		var err error
		switch v := protocol.UnescapeXML(text); string(name) {
		case "AccessKeyId":
			a.AccessKeyID = v
		case "SecretAccessKey":
			a.SecretAccessKey = v
		case "SessionToken":
			a.Token = v
		case "Expiration":
			a.Expiration, err = time.Parse(time.RFC3339, v)
		}
		return err
	})
	if err != nil {
		return Credentials{}, err
	}
	c, err := a.credentials()
	if err != nil {
		return c, &lastingError{err}
	}
	return c, nil
}

// lastingError is one that asking again does not mend.
type lastingError struct{ error }

func (e *lastingError) Unwrap() error { return e.error }

// outlook reads what a service said, or that it said nothing.
func outlook(err error) Outlook {
	if _, ok := errors.AsType[*lastingError](err); ok {
		return Lasts
	}
	if _, ok := errors.AsType[*exec.ExitError](err); ok {
		return MayPass // a program's own service may be away, or the program is mistaken
	}
	s, ok := errors.AsType[*statusError](err)
	switch {
	case !ok, s.status >= 500, s.status == http.StatusTooManyRequests, s.status == http.StatusRequestTimeout:
		return Passes
	}
	return stsOutlook(s.code())
}
