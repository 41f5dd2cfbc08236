package credentials

import (
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
			if _, err = source.Read(t.Context()); !Passing(err) || !strings.Contains(err.Error(), "not now") {
				t.Errorf("a service that is down for a moment: %v", err)
			}
		})
	}
	refuses, err := Find(config.S3{Bucket: "bbb"}, wire.Credentials{Env: map[string]string{
		"AWS_CONTAINER_CREDENTIALS_FULL_URI": srv.URL + "/ecs", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "wrong"}}, false, srv.Client())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := refuses.Read(t.Context()); err == nil || Passing(err) || !strings.Contains(err.Error(), "HTTP 403") || !strings.Contains(err.Error(), "the container's role") {
		t.Errorf("a refusal: %v", err)
	}
}
