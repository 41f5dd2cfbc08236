package engine

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// TestEngineIsAskedOnceInItsLife, and always answers.
func TestEngineIsAskedOnceInItsLife(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "engine.sock"))
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int64
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/_ping"):
			w.Header().Set("Api-Version", "1.41")
		case strings.HasSuffix(r.URL.Path, "/info"):
			asked.Add(1)
			_, _ = w.Write([]byte(`{"ID":"e","MemTotal":7,"SecurityOptions":["name=seccomp,profile=default","name=userns"]}`))
		}
	})}
	go s.Serve(l)
	defer s.Close()
	t.Setenv("DOCKER_HOST", "unix://"+l.Addr().String())
	life := "first"
	m := Memory{Path: filepath.Join(dir, "known"), life: func(string) string { return life }}
	open := func(want int64) {
		t.Helper()
		e, err := OpenKnown(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		if e.ID() != "e" || !e.HasSeccomp() || e.HasAppArmor() || !e.Machine().OtherIDs || e.Machine().Memory != 7 {
			t.Errorf("it is %+v", e.facts)
		}
		if n := asked.Load(); n != want {
			t.Errorf("it was asked %d times, want %d", n, want)
		}
	}
	open(1)
	open(1)
	life = "second"
	open(2)
	open(2)
	if err := os.WriteFile(m.Path, []byte(`{"Life":"second`), 0o600); err != nil {
		t.Fatal(err)
	}
	open(3)
	life = "" // of an engine whose life cannot be told
	open(4)
	open(5)
	s.Close()
	life = "second"
	if _, err := OpenKnown(t.Context(), m); err == nil || !strings.Contains(err.Error(), "ensure-engine.sh") {
		t.Errorf("of an engine that does not answer it says %v", err)
	}
}

// TestLifeOfAnEngine: that of these tests is dockerd at its default socket.
func TestLifeOfAnEngine(t *testing.T) {
	life := lifeOf("unix:///var/run/docker.sock")
	if life == "" || life != lifeOf("unix:///run/docker.sock") {
		t.Errorf("its life is %q and %q", life, lifeOf("unix:///run/docker.sock"))
	}
	if other := lifeOf("unix:///elsewhere.sock"); other != "" {
		t.Errorf("the life of another one is %q", other)
	}
}
