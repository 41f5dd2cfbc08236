package credentials

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/wire"
)

// A token that `aws sso login` has left is traded for credentials of the role. One that has ended is not renewed.
func TestTokenOfSingleSignOn(t *testing.T) {
	expires := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/federation/credentials" || r.FormValue("account_id") != "123" || r.FormValue("role_name") != "writer" {
			t.Errorf("asked %s", r.URL)
		}
		if r.Header.Get("X-Amz-Sso_bearer_token") != "good" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, `{"roleCredentials":{"accessKeyId":"A","secretAccessKey":"S","sessionToken":"T","expiration":%d}}`, expires.UnixMilli())
	}))
	defer srv.Close()
	const session = "[profile work]\nsso_session = corp\nsso_account_id = 123\nsso_role_name = writer\n[sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://x\n"
	const legacy = "[profile work]\nsso_start_url = https://x\nsso_region = eu-west-1\nsso_account_id = 123\nsso_role_name = writer\n"
	for name, c := range map[string]struct {
		content, cached string // the token's file is named for it
		token           string
		ends            time.Duration
		err             string
	}{
		"a session":          {session, "corp", "good", time.Hour, ""},
		"a start URL":        {legacy, "https://x", "good", time.Hour, ""},
		"no token":           {session, "another", "good", time.Hour, "no such file"},
		"an old token":       {session, "corp", "good", -time.Hour, "ended at"},
		"a token taken back": {session, "corp", "bad", time.Hour, "does not take the token"},
	} {
		dir := t.TempDir()
		cache := filepath.Join(dir, "sso", "cache")
		if err := os.MkdirAll(cache, 0o700); err != nil {
			t.Fatal(err)
		}
		sum := sha1.Sum([]byte(c.cached))
		token := fmt.Sprintf(`{"accessToken":%q,"expiresAt":%q}`, c.token, time.Now().Add(c.ends).UTC().Format(time.RFC3339))
		if err := os.WriteFile(filepath.Join(cache, hex.EncodeToString(sum[:])+".json"), []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "config")
		if err := os.WriteFile(file, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		env := map[string]string{"AWS_PROFILE": "work", "AWS_ENDPOINT_URL_SSO": srv.URL}
		s, err := Find(config.S3{CredentialsFile: file}, wire.Credentials{File: []byte(c.content), Env: env}, false, srv.Client())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := s.Read(t.Context())
		if c.err == "" {
			if want := (Credentials{AccessKey: "A", Secret: "S", Token: "T"}); err != nil || !got.same(&want) || !got.Expires.Equal(expires) {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
			continue
		}
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Outlook != Lasts || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), "aws sso login") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
