package credentials

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/testbed"
	"github.com/matrx/sandbox/internal/wire"
)

// TestSources: which source wins, and what is no source.
func TestSources(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	testbed.WriteCredentials(t, file, "F", "s", "")
	content, _ := os.ReadFile(file)
	all := map[string]string{
		"AWS_ACCESS_KEY_ID": "E", "AWS_SECRET_ACCESS_KEY": "s", "AWS_WEB_IDENTITY_TOKEN_FILE": "/t", "AWS_ROLE_ARN": "r",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/x",
	}
	without := func(names ...string) map[string]string {
		m := map[string]string{}
		for k, v := range all {
			m[k] = v
		}
		for _, n := range names {
			delete(m, n)
		}
		return m
	}
	for _, c := range []struct {
		w    wire.Credentials
		unix bool
		want string
	}{
		{wire.Credentials{File: content, Env: all}, true, "S3_CREDENTIALS_FILE"},
		{wire.Credentials{Env: all}, true, "AWS_ACCESS_KEY_ID"},
		{wire.Credentials{Env: without("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}, true, "AWS_WEB_IDENTITY_TOKEN_FILE"},
		{wire.Credentials{Env: without("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ROLE_ARN")}, true, "the container's role at http://169.254.170.2/x"},
		{wire.Credentials{Env: map[string]string{"AWS_SHARED_CREDENTIALS_FILE": file}}, false, file},
		{wire.Credentials{}, true, "none"},
		{wire.Credentials{}, false, "the instance's role"},
	} {
		s, err := Find(config.S3{Region: "us-east-1"}, c.w, c.unix, http.DefaultClient)
		if err != nil || !strings.Contains(s.String(), c.want) {
			t.Errorf("%+v: %v, %v", c, s, err)
		}
	}
	for name, env := range map[string]map[string]string{
		"half a pair":          {"AWS_ACCESS_KEY_ID": "x"},
		"a token over the net": {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://example.org/x"},
		"no URL":               {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "::"},
		"no file":              {"AWS_SHARED_CREDENTIALS_FILE": "/nonexistent"},
		"nothing, and no role": {"AWS_EC2_METADATA_DISABLED": "true"},
	} {
		if s, err := Find(config.S3{Bucket: "bbb"}, wire.Credentials{Env: env}, false, http.DefaultClient); err == nil {
			t.Errorf("%s: %v", name, s)
		}
	}
}
