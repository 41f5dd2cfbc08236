package credentials

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/matrx/sandbox/internal/storage/objectstore/protocol"
)

// serviceTimeout bounds one request to a service that hands out credentials: they are all
// next door, and where there is none nothing may answer at all.
const serviceTimeout = 5 * time.Second

// ask sends one request and gives the body of a 200.
func ask(ctx context.Context, client *http.Client, method, url string, header http.Header, body string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, serviceTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		date, _ := http.ParseTime(resp.Header.Get("Date"))
		return nil, &statusError{resp.StatusCode, strings.TrimSpace(string(b)), date}
	}
	return b, nil
}

type statusError struct {
	status int
	body   string
	date   time.Time // by the service's clock; zero where it said none
}

func (e *statusError) Error() string {
	return fmt.Sprintf("HTTP %d %q", e.status, e.body[:min(len(e.body), 300)])
}

// stsOutlook reads the code of a refusal of STS, which answers 400 to most of what passes
// ("Common Errors" and "AssumeRoleWithWebIdentity", AWS STS API reference).
func stsOutlook(code string) Outlook {
	switch code {
	case "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException", "RequestLimitExceeded",
		"TooManyRequestsException", "PriorRequestNotComplete", "RequestTimeout", "RequestTimeoutException", "InternalFailure", "InternalError", "ServiceUnavailable",
		"IDPCommunicationError": // STS could not reach the issuer of the token
		return Passes
	case "InvalidIdentityToken", // also while the issuer's keys rotate: the SDKs ask again, too
		"ExpiredTokenException", // or the token in the file is about to be replaced
		"RequestExpired":
		return MayPass
	}
	return Lasts
}

// code is the code in an error document of STS; empty without one.
func (e *statusError) code() (code string) {
	_ = protocol.ScanXML([]byte(e.body), func(parent, name, text []byte) error { // a body of another kind has none
		if string(parent) == "Error" && string(name) == "Code" {
			code = protocol.UnescapeXML(text)
		}
		return nil
	})
	return code
}

// roleAnswer is what the instance's and the container's service answer.
type roleAnswer struct {
	Code            string
	Message         string
	AccessKeyID     string `json:"AccessKeyId"`
	SecretAccessKey string
	Token           string
	Expiration      time.Time
}

func (a *roleAnswer) credentials() (Credentials, error) {
	if a.Code != "" && a.Code != "Success" {
		return Credentials{}, fmt.Errorf("%s %s", a.Code, a.Message)
	}
	if a.AccessKeyID == "" || a.SecretAccessKey == "" {
		return Credentials{}, errors.New("the answer has no key")
	}
	c := Credentials{AccessKey: a.AccessKeyID, Secret: a.SecretAccessKey, Token: a.Token, Expires: a.Expiration}
	if !c.Expires.IsZero() {
		c.Renew = c.Expires.Add(-renewBefore)
	}
	return c, nil
}

// container asks the agent of ECS or of EKS Pod Identity ("Container credential provider").
type container struct {
	url, token, tokenFile string
	client                *http.Client
}

const ecsAgent = "http://169.254.170.2"

func newContainerSource(relative, full, token, tokenFile string, client *http.Client) (Source, error) {
	if relative != "" {
		return &container{ecsAgent + relative, token, tokenFile, client}, nil
	}
	u, err := url.Parse(full)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("AWS_CONTAINER_CREDENTIALS_FULL_URI=%q is no URL", full)
	}
	// The token goes to the host that the URL names: over http only to addresses at which no other host listens.
	switch h := u.Hostname(); {
	case u.Scheme == "https", protocol.Loopback(h), h == "169.254.170.2", h == "169.254.170.23", h == "fd00:ec2::23":
	default:
		return nil, fmt.Errorf("AWS_CONTAINER_CREDENTIALS_FULL_URI=%q: over http only protocol.Loopback, 169.254.170.2, 169.254.170.23 and fd00:ec2::23 are allowed", full)
	}
	return &container{full, token, tokenFile, client}, nil
}

func (c *container) String() string { return "the container's role at " + c.url }

func (c *container) Read(ctx context.Context) (Credentials, error) {
	h := http.Header{}
	token := c.token
	if c.tokenFile != "" { // rotated, so read every time
		b, err := os.ReadFile(c.tokenFile)
		if err != nil {
			return Credentials{}, &Error{From: c.String(), Err: err, Hint: "make AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE readable for sandbox-init"}
		}
		token = strings.TrimSpace(string(b))
	}
	if token != "" {
		h.Set("Authorization", token)
	}
	return askRole(ctx, c.client, c.url, h, c.String())
}

func askRole(ctx context.Context, client *http.Client, url string, h http.Header, from string) (Credentials, error) {
	b, err := ask(ctx, client, http.MethodGet, url, h, "")
	if err == nil {
		var a roleAnswer
		if err = json.Unmarshal(b, &a); err == nil {
			var c Credentials
			if c, err = a.credentials(); err == nil {
				return c, nil
			}
		}
	}
	return Credentials{}, &Error{From: from, Err: err, Outlook: outlook(err), Hint: "check the role, or give S3_CREDENTIALS_FILE"}
}

// instance asks EC2's metadata service, version 2 ("Use the Instance Metadata Service").
type instance struct {
	base     string
	client   *http.Client
	answered bool // it has given credentials before: a silence passes
}

func newInstanceSource(base string, client *http.Client) Source {
	if base == "" {
		base = "http://169.254.169.254"
	}
	return &instance{base: strings.TrimRight(base, "/"), client: client}
}

func (i *instance) String() string { return "the instance's role at " + i.base }

func (i *instance) Read(ctx context.Context) (Credentials, error) {
	fail := func(err error) (Credentials, error) {
		o := outlook(err)
		if !i.answered {
			o = min(o, MayPass) // most hosts have no such service, and nothing else is configured
		}
		return Credentials{}, &Error{From: i.String(), Err: err, Outlook: o,
			Hint: "this host has no role: give S3_CREDENTIALS_FILE (in a container on EC2, the metadata service needs a hop limit of 2)"}
	}
	token, err := ask(ctx, i.client, http.MethodPut, i.base+"/latest/api/token", http.Header{"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": {"21600"}}, "")
	if err != nil {
		return fail(err)
	}
	h := http.Header{"X-Aws-Ec2-Metadata-Token": {strings.TrimSpace(string(token))}}
	const path = "/latest/meta-data/iam/security-credentials/"
	roles, err := ask(ctx, i.client, http.MethodGet, i.base+path, h, "")
	if err != nil {
		return fail(err)
	}
	role, _, _ := strings.Cut(strings.TrimSpace(string(roles)), "\n")
	if role == "" {
		return fail(&statusError{status: http.StatusOK, body: "no role is attached"})
	}
	c, err := askRole(ctx, i.client, i.base+path+url.PathEscape(role), h, i.String())
	i.answered = i.answered || err == nil
	return c, err
}

// webIdentity trades a token of Kubernetes for credentials (AssumeRoleWithWebIdentity, AWS
// STS API reference). The request is not signed, the token is the proof.
type webIdentity struct {
	file, role, session string
	sts                 sts
}

func (w *webIdentity) String() string {
	return fmt.Sprintf("the role %q by AWS_WEB_IDENTITY_TOKEN_FILE=%q", w.role, w.file)
}

// Read implements Source.
func (w *webIdentity) Read(ctx context.Context) (Credentials, error) {
	const hint = "check the role's trust policy and the token"
	token, err := os.ReadFile(w.file) // rotated, so read every time
	if err != nil {
		return Credentials{}, &Error{From: w.String(), Err: err, Hint: hint}
	}
	form := url.Values{
		"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"},
		"RoleArn": {w.role}, "RoleSessionName": {cmp.Or(w.session, defaultSession)}, "WebIdentityToken": {strings.TrimSpace(string(token))},
	}
	c, err := w.sts.ask(ctx, http.Header{"Content-Type": {formType}}, form.Encode())
	if err != nil {
		return c, &Error{From: w.String(), Err: err, Outlook: outlook(err), Hint: hint}
	}
	return c, nil
}
