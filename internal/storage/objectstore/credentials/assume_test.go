package credentials

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// A role is had on a host whose clock is wrong, too: the request is signed by the service's clock then.
func TestRoleIsAssumedByTheClockOfTheService(t *testing.T) {
	for _, ahead := range []time.Duration{0, 2 * time.Hour, -2 * time.Hour} {
		t.Run(fmt.Sprint("ahead by ", ahead), func(t *testing.T) {
			asked := 0
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked++
				now := time.Now().Add(ahead)
				w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
				signed, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
				if err != nil || now.Sub(signed).Abs() > 5*time.Minute {
					w.WriteHeader(http.StatusForbidden)
					_, _ = fmt.Fprint(w, `<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>Signature expired</Message></Error></ErrorResponse>`)
					return
				}
				_, _ = fmt.Fprint(w, `<R><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>S</SecretAccessKey></Credentials></R>`)
			}))
			defer srv.Close()
			c, err := sts{srv.URL, "us-east-1", srv.Client()}.assume(t.Context(), Credentials{AccessKey: "a", Secret: "s"}, "arn:x", "", "")
			if err != nil || c.AccessKey != "A" {
				t.Errorf("%+v, %v", c, err)
			}
			if asked > 2 {
				t.Errorf("it was asked %d times", asked)
			}
		})
	}
	t.Run("a refusal for another reason", func(t *testing.T) {
		asked := 0
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked++
			w.WriteHeader(http.StatusForbidden)
		}))
		defer srv.Close()
		if _, err := (sts{srv.URL, "us-east-1", srv.Client()}).assume(t.Context(), Credentials{AccessKey: "a", Secret: "s"}, "arn:x", "", ""); err == nil || asked != 1 {
			t.Errorf("%v after %d requests", err, asked)
		}
	})
}
