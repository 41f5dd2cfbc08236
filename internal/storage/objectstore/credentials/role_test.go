package credentials

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/wire"
)

// TestRoles: the services that hand out credentials, as AWS documents their answers.
func TestRoles(t *testing.T) {
	expires := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	answer := fmt.Sprintf(`{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":"A","SecretAccessKey":"S","Token":"T","Expiration":"%s"}`, expires.Format(time.RFC3339))
	var asked atomic.Int32
	var broken atomic.Bool
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if broken.Load() {
			http.Error(w, "not now", http.StatusServiceUnavailable)
			return
		}
		switch {
		case r.Method == "PUT" && r.URL.Path == "/latest/api/token" && r.Header.Get("X-aws-ec2-metadata-token-ttl-seconds") != "":
			_, _ = io.WriteString(w, "imds-token")
		case r.URL.Path == "/latest/meta-data/iam/security-credentials/" && r.Header.Get("X-aws-ec2-metadata-token") == "imds-token":
			_, _ = io.WriteString(w, "my role")
		case r.URL.Path == "/latest/meta-data/iam/security-credentials/my role" && r.Header.Get("X-aws-ec2-metadata-token") == "imds-token":
			_, _ = io.WriteString(w, answer)
		case r.URL.Path == "/eks" && r.Header.Get("Authorization") == "file-token":
			_, _ = io.WriteString(w, answer)
		case r.URL.Path == "/ecs" && r.Header.Get("Authorization") == "env-token":
			_, _ = io.WriteString(w, answer)
		case r.Method == "POST" && r.URL.Path == "/" && r.FormValue("Action") == "AssumeRoleWithWebIdentity" && r.FormValue("WebIdentityToken") == "jwt" && r.FormValue("RoleArn") == "arn:x" && r.FormValue("RoleSessionName") != "":
			fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><SubjectFromWebIdentityToken>s</SubjectFromWebIdentityToken>
 <Credentials><SessionToken>T</SessionToken><SecretAccessKey>S</SecretAccessKey><Expiration>%s</Expiration><AccessKeyId>A</AccessKeyId></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`, expires.Format(time.RFC3339))
		default:
			http.Error(w, "no", http.StatusForbidden)
		}
	}))
	defer srv.Close()
	dir := t.TempDir()
	write := func(name, content string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	for name, env := range map[string]map[string]string{
		"instance":     {"AWS_EC2_METADATA_SERVICE_ENDPOINT": srv.URL + "/"},
		"EKS":          {"AWS_CONTAINER_CREDENTIALS_FULL_URI": srv.URL + "/eks", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": write("token", "file-token\n")},
		"ECS":          {"AWS_CONTAINER_CREDENTIALS_FULL_URI": srv.URL + "/ecs", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "env-token"},
		"web identity": {"AWS_WEB_IDENTITY_TOKEN_FILE": write("jwt", "jwt\n"), "AWS_ROLE_ARN": "arn:x", "AWS_ENDPOINT_URL_STS": srv.URL},
	} {
		t.Run(name, func(t *testing.T) {
			source, err := Find(config.S3{Bucket: "bbb", Region: "us-east-1"}, wire.Credentials{Env: env}, false, srv.Client())
			if err != nil {
				t.Fatal(err)
			}
			got, err := source.Read(t.Context())
			want := Credentials{AccessKey: "A", Secret: "S", Token: "T"}
			if err != nil || !got.same(&want) || !got.Expires.Equal(expires) || !got.Renew.Equal(expires.Add(-renewBefore)) {
				t.Fatalf("%+v, %v", got, err)
			}
			broken.Store(true)
			defer broken.Store(false)
			if _, err = source.Read(t.Context()); outlookOf(err) != Passes || !strings.Contains(err.Error(), "not now") {
				t.Errorf("a service that is down for a moment: %v", err)
			}
		})
	}
	refuses, err := Find(config.S3{Bucket: "bbb"}, wire.Credentials{Env: map[string]string{
		"AWS_CONTAINER_CREDENTIALS_FULL_URI": srv.URL + "/ecs", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "wrong"}}, false, srv.Client())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := refuses.Read(t.Context()); err == nil || outlookOf(err) != Lasts || !strings.Contains(err.Error(), "HTTP 403") || !strings.Contains(err.Error(), "the container's role") {
		t.Errorf("a refusal: %v", err)
	}
}

func outlookOf(err error) Outlook {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Outlook
	}
	return -1
}

// STS answers 400 to most of what another attempt mends.
func TestSTSRefusalIsReadByItsCode(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("jwt"), 0o600); err != nil {
		t.Fatal(err)
	}
	for code, want := range map[string]Outlook{
		"Throttling": Passes, "IDPCommunicationError": Passes, "RequestLimitExceeded": Passes, "InvalidIdentityToken": MayPass, "ExpiredTokenException": MayPass,
		"AccessDenied": Lasts, "MalformedPolicyDocument": Lasts, "ValidationError": Lasts,
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>%s</Code><Message>m</Message></Error></ErrorResponse>`, code)
		}))
		_, err := (&webIdentity{file: token, role: "arn:x", sts: newSTS("us-east-1", srv.URL, srv.Client())}).Read(t.Context())
		if outlookOf(err) != want || !strings.Contains(err.Error(), code) {
			t.Errorf("%s: %v, outlook %d, want %d", code, err, outlookOf(err), want)
		}
		srv.Close()
	}
}

func TestSTSIsAskedInTheRegionOfTheEnvironment(t *testing.T) {
	env := map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": "/t", "AWS_ROLE_ARN": "r", "AWS_REGION": "eu-west-1"}
	s, err := Find(config.S3{Region: "somewhere"}, wire.Credentials{Env: env}, false, http.DefaultClient)
	if err != nil || s.(*webIdentity).sts.endpoint != "https://sts.eu-west-1.amazonaws.com" {
		t.Errorf("%+v, %v", s, err)
	}
}

// Most hosts have no metadata service: where it has never answered, nothing is waited for.
func TestInstanceServiceThatNeverAnsweredIsNotAwaited(t *testing.T) {
	silent := newInstanceSource("http://127.0.0.1:1", http.DefaultClient)
	if _, err := silent.Read(t.Context()); outlookOf(err) != MayPass {
		t.Errorf("%v, outlook %d", err, outlookOf(err))
	}
	silent.(*instance).answered = true
	if _, err := silent.Read(t.Context()); outlookOf(err) != Passes {
		t.Errorf("after it has answered: %v, outlook %d", err, outlookOf(err))
	}
}
