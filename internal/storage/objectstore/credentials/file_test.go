package credentials

import (
	"net/http"
	"strings"
	"testing"

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
		"a process":         {"[default]\ncredential_process = /bin/x\n", "", Credentials{}, "credential_process is not supported"},
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
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := (&fileSource{profile: "default"}).parse(b)
		if (err == nil) != (c.AccessKey != "" && c.Secret != "") {
			t.Fatalf("%+v, %v", c, err)
		}
	})
}
