package credentials

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/wire"
)

func TestSharedCredentialsFile(t *testing.T) {
	for name, c := range map[string]struct {
		content, profile string
		want             Credentials
		err              string
	}{
		"plain":             {"[default]\naws_access_key_id=A\naws_secret_access_key=S\n", "", Credentials{AccessKey: "A", Secret: "S"}, ""},
		"token and blanks":  {" [ default ] \n aws_access_key_id = A \n AWS_SECRET_ACCESS_KEY\t=\tS=/+ \r\naws_session_token=T==\n", "", Credentials{AccessKey: "A", Secret: "S=/+", Token: "T=="}, ""},
		"comments":          {"# a\n; b\n\n[default]\n#x\naws_access_key_id=A\naws_secret_access_key=S\n[other]\naws_access_key_id=B", "", Credentials{AccessKey: "A", Secret: "S"}, ""},
		"another profile":   {"[default]\naws_access_key_id=A\n[work]\naws_access_key_id=B\naws_secret_access_key=S", "work", Credentials{AccessKey: "B", Secret: "S"}, ""},
		"of a config file":  {"[profile work]\naws_access_key_id=B\naws_secret_access_key=S", "work", Credentials{AccessKey: "B", Secret: "S"}, ""},
		"a byte order mark": {"\ufeff[default]\naws_access_key_id=A\naws_secret_access_key=S\n", "", Credentials{AccessKey: "A", Secret: "S"}, ""},
		"no such profile":   {"[default]\naws_access_key_id=A\naws_secret_access_key=S", "work", Credentials{}, "no such profile"},
		"no secret":         {"[default]\naws_access_key_id=A\n", "", Credentials{}, "aws_secret_access_key is missing"},
		"no key":            {"[default]\naws_secret_access_key=S\n", "", Credentials{}, "aws_access_key_id is missing"},
		"no pairs":          {"[default]\nhunter2\n", "", Credentials{}, "line 2"},
		"no section":        {"[default\n", "", Credentials{}, "line 1"},
		"keys, not process": {"[default]\ncredential_process = /bin/false\naws_access_key_id=A\naws_secret_access_key=S\n", "", Credentials{AccessKey: "A", Secret: "S"}, ""},
		"json":              {`{"AccessKeyId":"A"}`, "", Credentials{}, "no such profile"},
	} {
		w := wire.Credentials{File: []byte(c.content)}
		if c.profile != "" {
			w.Env = map[string]string{"AWS_PROFILE": c.profile}
		}
		s, err := Find(config.S3{Bucket: "bbb", Endpoint: "http://127.0.0.1:1"}, w, false, http.DefaultClient)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := s.Read(t.Context())
		if err != nil || !got.same(&c.want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func FuzzCredentialsFile(f *testing.F) {
	f.Add([]byte("[default]\naws_access_key_id=A\naws_secret_access_key=S\n"))
	f.Add([]byte("[x\n=\n[]\n"))
	f.Add([]byte("[default]\nrole_arn=r\nsource_profile=default\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &fileSource{profile: "default"}
		if s.check(b) != nil {
			return
		}
		p, err := parseProfiles(b)
		if err != nil {
			t.Fatal(err)
		}
		if c := p.static("default"); p["default"]["role_arn"] == "" && (c.AccessKey == "" || c.Secret == "") {
			t.Fatalf("%+v", c)
		}
	})
}

// A role is asked for with the credentials of the profile that source_profile names.
func TestRoleOfAProfile(t *testing.T) {
	expires := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	var asked url.Values
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked, _ = url.ParseQuery(string(body))
		got := r.Header.Get("Authorization")
		at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
		if err != nil {
			t.Error(err)
		}
		sum := sha256.Sum256(body)
		again := &http.Request{Method: r.Method, URL: &url.URL{Path: "/"}, Host: r.Host, Header: http.Header{
			"Content-Type": r.Header["Content-Type"], "X-Amz-Content-Sha256": r.Header["X-Amz-Content-Sha256"]}}
		creds := aws.Credentials{AccessKeyID: "A", SecretAccessKey: "S", SessionToken: "T"}
		if err := v4.NewSigner().SignHTTP(t.Context(), creds, again, hex.EncodeToString(sum[:]), "sts", "eu-west-1", at); err != nil {
			t.Error(err)
		}
		if want := again.Header.Get("Authorization"); got != want {
			t.Errorf("the signature is %s, want %s", got, want)
		}
		fmt.Fprintf(w, `<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>R</AccessKeyId><SecretAccessKey>RS</SecretAccessKey><SessionToken>RT</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`, expires.Format(time.RFC3339))
	}))
	defer srv.Close()
	const file = `
[profile work]
role_arn = arn:role
source_profile = base
role_session_name = me
external_id = x
[base]
aws_access_key_id = A
aws_secret_access_key = S
aws_session_token = T
`
	env := map[string]string{"AWS_PROFILE": "work", "AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL_STS": srv.URL}
	s, err := Find(config.S3{CredentialsFile: "/f"}, wire.Credentials{File: []byte(file), Env: env}, false, srv.Client())
	if err != nil {
		t.Fatal(err)
	}
	s.(*fileSource).path = "" // as PID 1 sent it
	c, err := s.Read(t.Context())
	want := Credentials{AccessKey: "R", Secret: "RS", Token: "RT"}
	if err != nil || !c.same(&want) || !c.Expires.Equal(expires) {
		t.Errorf("%+v, %v", c, err)
	}
	if asked.Get("Action") != "AssumeRole" || asked.Get("RoleArn") != "arn:role" || asked.Get("RoleSessionName") != "me" || asked.Get("ExternalId") != "x" {
		t.Errorf("asked %v", asked)
	}
}

func TestProfileThatCannotBeFollowed(t *testing.T) {
	for name, c := range map[string]struct{ content, err string }{
		"in a circle":   {"[default]\nrole_arn=r\nsource_profile=b\n[b]\nrole_arn=r\nsource_profile=default\n", "leads back"},
		"to nothing":    {"[default]\nrole_arn=r\nsource_profile=b\n", `no profile "b"`},
		"from nowhere":  {"[default]\nrole_arn=r\n", "needs source_profile"},
		"to no keys":    {"[default]\nrole_arn=r\nsource_profile=b\n[b]\nregion=x\n", "aws_access_key_id is missing"},
		"to a process":  {"[default]\nrole_arn=r\nsource_profile=b\n[b]\ncredential_process=/bin/x\n", ""},
		"to no program": {"[default]\ncredential_process='/bin/x\n", "ends within a quotation"},
		"to no session": {"[default]\nsso_session=x\n", "no section [sso-session x]"},
		"to no account": {"[default]\nsso_start_url=x\nsso_region=y\n", "sso_account_id is missing"},
		"by no service": {"[default]\nrole_arn=r\ncredential_source=Ec2InstanceMetadata\n", ""},
	} {
		_, err := Find(config.S3{}, wire.Credentials{File: []byte(c.content)}, false, http.DefaultClient)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
