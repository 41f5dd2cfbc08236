package credentials

import (
	"cmp"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/matrx/sandbox/internal/storage/objectstore/protocol"
)

// A profile of single sign-on names an account and a role, for which a token of the person is traded ("IAM
// Identity Center credential provider", AWS SDKs and Tools Reference Guide). The token is made with a
// browser, by `aws sso login` on another machine: it is taken where the AWS tools keep it, and not renewed.

// sso is what a profile says of single sign-on.
type sso struct {
	cacheKey string // whose SHA-1 names the token's file
	region   string
	account  string
	role     string
}

// ssoOf reads a profile; false when it is not of single sign-on.
func (p profiles) ssoOf(name string) (o sso, ok bool, err error) {
	s := p[name]
	session, start := s["sso_session"], s["sso_start_url"]
	if session == "" && start == "" {
		return o, false, nil
	}
	o = sso{cacheKey: cmp.Or(session, start), region: s["sso_region"], account: s["sso_account_id"], role: s["sso_role_name"]}
	if session != "" {
		section, ok := p["sso-session "+session]
		if !ok {
			return o, true, fmt.Errorf("there is no section [sso-session %s], which sso_session names", session)
		}
		o.region = cmp.Or(section["sso_region"], o.region)
	}
	for _, f := range []struct{ name, value string }{{"sso_region", o.region}, {"sso_account_id", o.account}, {"sso_role_name", o.role}} {
		if f.value == "" {
			return o, true, fmt.Errorf("%s is missing", f.name)
		}
	}
	return o, true, nil
}

// askSSO trades the token for credentials of the role (GetRoleCredentials, IAM Identity Center Portal API).
func (f *fileSource) askSSO(ctx context.Context, o sso) (Credentials, error) {
	token, err := f.ssoToken(o)
	if err != nil {
		return Credentials{}, err
	}
	at := cmp.Or(f.portal, "https://portal.sso."+o.region+"."+protocol.DNSSuffix(o.region))
	q := url.Values{"account_id": {o.account}, "role_name": {o.role}}
	b, err := ask(ctx, f.sts.client, http.MethodGet, at+"/federation/credentials?"+q.Encode(), http.Header{"X-Amz-Sso_bearer_token": {token}}, "")
	if s, ok := errors.AsType[*statusError](err); ok && s.status == http.StatusUnauthorized {
		return Credentials{}, &lastingError{fmt.Errorf("single sign-on does not take the token any more: %w; %s", err, ssoLogin)}
	}
	if err != nil {
		return Credentials{}, err
	}
	var a struct {
		RoleCredentials struct {
			AccessKeyID     string `json:"accessKeyId"`
			SecretAccessKey string `json:"secretAccessKey"`
			SessionToken    string `json:"sessionToken"`
			Expiration      int64  `json:"expiration"` // ms since the epoch
		} `json:"roleCredentials"`
	}
	if err := json.Unmarshal(b, &a); err != nil {
		return Credentials{}, &lastingError{errors.New("what single sign-on answers is no JSON")}
	}
	r := a.RoleCredentials
	answer := roleAnswer{AccessKeyID: r.AccessKeyID, SecretAccessKey: r.SecretAccessKey, Token: r.SessionToken}
	if r.Expiration > 0 {
		answer.Expiration = time.UnixMilli(r.Expiration)
	}
	return answer.credentials()
}

const ssoLogin = "run `aws sso login` and give the sandbox the new token"

// ssoToken reads the token from sso/cache beside the file that the profile is in.
func (f *fileSource) ssoToken(o sso) (string, error) {
	sum := sha1.Sum([]byte(o.cacheKey))
	path := filepath.Join(filepath.Dir(f.path), "sso", "cache", hex.EncodeToString(sum[:])+".json")
	b, err := os.ReadFile(path)
	if err != nil {
		return "", &lastingError{fmt.Errorf("the token of single sign-on: %w; %s", err, ssoLogin)}
	}
	var t struct {
		AccessToken string    `json:"accessToken"`
		ExpiresAt   time.Time `json:"expiresAt"`
	}
	if err := json.Unmarshal(b, &t); err != nil || t.AccessToken == "" {
		return "", &lastingError{fmt.Errorf("the token of single sign-on in %s cannot be read; %s", path, ssoLogin)}
	}
	if !time.Now().Before(t.ExpiresAt) {
		return "", &lastingError{fmt.Errorf("the token of single sign-on in %s ended at %s; %s", path, t.ExpiresAt.UTC().Format(time.RFC3339), ssoLogin)}
	}
	return t.AccessToken, nil
}
