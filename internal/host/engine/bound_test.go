package engine

import (
	"context"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// hanging is an engine that says who it is, and takes every other call without an answer.
func hanging(t *testing.T) *Engine {
	t.Helper()
	path := filepath.Join(t.TempDir(), "engine.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/_ping"):
			w.Header().Set("Api-Version", "1.41")
		case strings.HasSuffix(r.URL.Path, "/info"):
			_, _ = w.Write([]byte(`{"ID":"hanging"}`))
		default:
			<-over
		}
	})}
	go s.Serve(l)
	t.Cleanup(func() {
		close(over)
		s.Close()
	})
	e, err := OpenAt(t.Context(), "unix://"+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// An engine that takes a call and does not answer it: the call ends, by a name that a caller can decide by.
func TestCallsEndWithoutAnAnswer(t *testing.T) {
	e := hanging(t)
	e.within = time.Millisecond
	for name, call := range map[string]func(context.Context) error{
		"create": func(ctx context.Context) error { _, err := e.Create(ctx, Spec{Name: "n", Image: "i"}); return err },
		"start":  func(ctx context.Context) error { return e.Start(ctx, "c") },
		"attach": func(ctx context.Context) error { _, err := e.Attach(ctx, "c", Streams{}); return err },
		"exec": func(ctx context.Context) error {
			_, err := e.Exec(ctx, "c", Command{Args: []string{"x"}}, Streams{})
			return err
		},
		"image's file":  func(ctx context.Context) error { _, err := e.ImageFile(ctx, "i", "/f", 1); return err },
		"scrub":         func(ctx context.Context) error { return e.Scrub(ctx, "i", "/d") },
		"stop":          func(ctx context.Context) error { return e.Stop(ctx, "c") },
		"inspect":       func(ctx context.Context) error { _, err := e.Inspect(ctx, "c"); return err },
		"list":          func(ctx context.Context) error { _, err := e.List(ctx, "l"); return err },
		"signal":        func(ctx context.Context) error { return e.Signal(ctx, "c", "SIGTERM") },
		"remove":        func(ctx context.Context) error { return e.Remove(ctx, "c", true) },
		"volumes":       func(ctx context.Context) error { _, err := e.Volumes(ctx, "l"); return err },
		"named volumes": func(ctx context.Context) error { _, err := e.VolumesNamed(ctx, "v"); return err },
		"volume":        func(ctx context.Context) error { _, err := e.HasVolume(ctx, "v"); return err },
		"remove volume": func(ctx context.Context) error { return e.RemoveVolume(ctx, "v") },
		"image":         func(ctx context.Context) error { _, err := e.InspectImage(ctx, "i"); return err },
	} {
		t.Run(name, func(t *testing.T) {
			if err := call(t.Context()); !errors.Is(err, errUnanswered) {
				t.Errorf("it is answered with %v", err)
			}
		})
	}
}
