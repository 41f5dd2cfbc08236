package hostd

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/matrx/sandbox/internal/host/hostd/sockdir"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// serveAs serves a control socket as a daemon of another version does.
func serveAs(t *testing.T, d datadir.Dir, calls map[string]http.HandlerFunc) {
	t.Helper()
	dir, err := sockdir.Open(d.Hostd())
	if err != nil {
		t.Fatal(err)
	}
	l, err := dir.Listen(controlName, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	for call, answer := range calls {
		mux.HandleFunc(call, answer)
	}
	s := &http.Server{Handler: mux}
	go s.Serve(l)
	t.Cleanup(func() {
		s.Close()
		dir.Close()
	})
}

func says(st Status) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(st) }
}

// A daemon that outlives an upgrade goes on if the two have a protocol in common, is replaced if it is older,
// and is left alone if it is newer.
func TestDaemonOfAnotherVersion(t *testing.T) {
	for name, tc := range map[string]struct {
		st       Status
		asked    []string // what it is asked besides its status
		problem  string
		replaced bool
	}{
		"the same":         {st: Status{Protocol: protocol, Oldest: oldestProtocol}, asked: []string{"hold"}},
		"newer, and talks": {st: Status{Protocol: protocol + 1, Oldest: protocol}, asked: []string{"hold"}},
		"newer":            {st: Status{Protocol: protocol + 2, Oldest: protocol + 1}, problem: "newer version"},
		"older":            {st: Status{Protocol: oldestProtocol - 1}, asked: []string{"handover"}, replaced: true},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDir(t)
			var asked []string
			serveAs(t, d, map[string]http.HandlerFunc{
				"GET /v1/daemon": says(tc.st),
				"GET /v1/hold":   func(http.ResponseWriter, *http.Request) { asked = append(asked, "hold") },
				"POST /v1/handover": func(w http.ResponseWriter, _ *http.Request) {
					asked = append(asked, "handover")
					answer(w, http.StatusOK, map[string]Credentials{})
				},
			})
			c, err := Dial(d)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			h, err := c.tryHold(t.Context())
			if h != nil {
				h.Release()
			}
			if tc.problem == "" && err != nil || tc.problem != "" && (err == nil || !strings.Contains(err.Error(), tc.problem)) {
				t.Errorf("it is answered with %v", err)
			}
			if !slices.Equal(asked, tc.asked) || (h == nil) != (tc.replaced || tc.problem != "") {
				t.Errorf("it is asked %q, held: %t", asked, h != nil)
			}
		})
	}
}

// A daemon that is handed over leaves its sandboxes to the next.
func TestDaemonHandsOver(t *testing.T) {
	d := newDir(t)
	c, h := ensure(t, d)
	s := newSandbox(t, d, "one", "u1")
	if err := c.Serve(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	mustAsk(t, s, "PUT", "users/u1/hot/a", "x")
	if err := c.Authorize(t.Context(), "one", Credentials{AccessKey: "k", SecretKey: "s"}); err != nil {
		t.Fatal(err)
	}
	before := pidOf(t, c)
	if err := c.replace(t.Context(), Status{PID: before}); err != nil {
		t.Fatal(err)
	}
	<-h.Lost()
	again, err := c.Again(t.Context(), d, self)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Release()
	second := pidOf(t, c)
	if second == before {
		t.Error("the same process answers")
	}
	// Each waits for the end of its guard, which makes the data directory when it starts.
	awaitDeath(t, before)
	if err := c.replace(t.Context(), Status{}); err != nil || c.handed["one"].SecretKey != "s" {
		t.Errorf("the next has %v, %v", c.handed, err)
	}
	<-again.Lost()
	awaitDeath(t, second)
	if again, err = c.Again(t.Context(), d, self); err != nil {
		t.Fatal(err)
	}
	defer again.Release()
	if got := mustAsk(t, s, "GET", "users/u1/hot/a", ""); got != "x" {
		t.Errorf("it holds %q", got)
	}
	if r, err := s.Load(); err != nil || r.Ended != nil {
		t.Errorf("the sandbox was ended: %+v, %v", r.Ended, err)
	}
}

// However many sandboxes a daemon has, it hands over the credentials of all.
func TestHandoverOfManySandboxes(t *testing.T) {
	d := newDir(t)
	all := make(map[string]Credentials)
	for n := range 1000 {
		all[strconv.Itoa(n)] = Credentials{AccessKey: "k", SecretKey: "s", SessionToken: strings.Repeat("t", 2<<10)}
	}
	serveAs(t, d, map[string]http.HandlerFunc{"POST /v1/handover": func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, all) }})
	c, err := Dial(d)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.replace(t.Context(), Status{}); err != nil || !maps.Equal(c.handed, all) {
		t.Errorf("%d of %d are handed over, %v", len(c.handed), len(all), err)
	}
}

// What the starter's environment says of its engine and its credentials is not the daemon's.
func TestDaemonHasNotItsStartersCredentials(t *testing.T) {
	got := environment([]string{"PATH=/bin", "DOCKER_HOST=unix:///other.sock", "AWS_SECRET_ACCESS_KEY=s", "AWS_PROFILE=p", "AWS_CA_BUNDLE=/ca", "HTTPS_PROXY=http://p"})
	if want := []string{"PATH=/bin", "AWS_CA_BUNDLE=/ca", "HTTPS_PROXY=http://p"}; !slices.Equal(got, want) {
		t.Errorf("it has %q, want %q", got, want)
	}
}

// Another user's data directory is left alone: root's files in it would be the end of it for its owner.
func TestEnsureRefusesAnotherUsersDirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root, to give a directory away")
	}
	d := newDir(t)
	if err := os.Chown(d.Path(), 12345, 12345); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Ensure(t.Context(), d, self); err == nil || !strings.Contains(err.Error(), "belongs to #12345") {
		t.Errorf("Ensure gives %v", err)
	}
}
