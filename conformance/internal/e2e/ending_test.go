package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/matrx/sandbox/conformance/engine"
)

// However a run ends, its containers, its servers and its files are gone.
func TestNothingIsLeftBehind(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			// A name of its own, by which this run's containers are told from others'.
			ref := "matrx-suite-ending:" + strings.ToLower(rand.Text()[:8])
			docker(t, "tag", base, ref)
			t.Cleanup(func() { docker(t, "rmi", ref) })
			started := starts(t, ref)

			tmp, err := os.MkdirTemp("", "end-") // short: sockets lie below it
			require.NoError(t, err)
			defer os.RemoveAll(tmp)
			cmd := exec.Command(program, ref)
			cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
			// All that the run leaves running holds this pipe: its end is the end of them all.
			stderr, held, err := os.Pipe()
			require.NoError(t, err)
			cmd.Stderr = held
			require.NoError(t, cmd.Start())
			held.Close()
			run, ok := <-started
			if !ok {
				t.Fatal("no container was started")
			}
			require.NoError(t, cmd.Process.Signal(signal))
			said, err := io.ReadAll(stderr)
			require.NoError(t, err)
			err = cmd.Wait()
			if signal != syscall.SIGKILL {
				if cmd.ProcessState.ExitCode() != 3 || !strings.Contains(string(said), "interrupted") {
					t.Errorf("it ended with %v and said %q; want 3, and that it was interrupted", err, said)
				}
			} else if len(said) > 0 {
				t.Errorf("the reaper said: %s", said)
			}
			if left := docker(t, "ps", "--all", "--quiet", "--filter", "label="+engine.Label+"="+run); left != "" {
				t.Errorf("containers are left: %s", left)
			}
			if left, err := filepath.Glob(tmp + "/*"); err != nil || len(left) > 0 {
				t.Errorf("files are left: %q (%v)", left, err)
			}
		})
	}
}

// starts waits for the first container of an image and gives the run that it belongs to.
func starts(t *testing.T, ref string) <-chan string {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, "docker", "events", "--filter", "image="+ref, "--filter", "event=start", "--format", "{{json .Actor.Attributes}}")
	events, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { stop(); _ = cmd.Wait() }) // it was killed
	out := make(chan string, 1)
	go func() {
		defer close(out)
		line, err := bufio.NewReader(events).ReadBytes('\n')
		var attributes map[string]string
		if err == nil && json.Unmarshal(line, &attributes) == nil {
			out <- attributes[engine.Label]
		}
	}()
	return out
}

func docker(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command("docker", args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("docker %q: %v\n%s", args, err, errs.String())
	}
	return strings.TrimSpace(out.String())
}
