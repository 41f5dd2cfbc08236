package run

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/hostd/sockdir"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// progressEvery is how often the operator's line is drawn anew.
const progressEvery = 250 * time.Millisecond

// progress shows what a sandbox that is being stopped has still to save.
type progress struct {
	stop context.CancelFunc
	done sync.WaitGroup
}

// watch shows it on a terminal until close; elsewhere it shows nothing.
func watch(sandboxDir datadir.Sandbox, out Output) *progress {
	ctx, stop := context.WithCancel(context.Background())
	p := &progress{stop: stop}
	if !out.Terminal || out.JSON {
		return p
	}
	p.done.Go(func() {
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		defer out.clear()
		for {
			if line := stage(ctx, sandboxDir); line != "" {
				out.draw(line)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
	return p
}

func (p *progress) close() {
	p.stop()
	p.done.Wait()
}

// stage says in a line where the sandbox is on its way to the end.
func stage(ctx context.Context, sandboxDir datadir.Sandbox) string {
	st, err := sandboxDir.State()
	if err != nil {
		return ""
	}
	var left string
	if s, err := storageStatus(ctx, sandboxDir); err == nil && s.Hot.DirtyFiles+s.Hot.InFlight > 0 {
		left = count(max(s.Hot.DirtyFiles, s.Hot.InFlight), "file") + " (" + size(s.Hot.DirtyBytes) + ") to save"
	}
	switch st.Phase {
	case contract.PhaseBoot, contract.PhaseHydrate:
		return "giving up before the workspace is there"
	case contract.PhaseRun:
		return "telling it to stop"
	case contract.PhaseDrain:
		return joined("ending its processes", left)
	case contract.PhaseFlush:
		return joined("saving", left)
	}
	return ""
}

func joined(a, b string) string {
	if b == "" {
		return a
	}
	return a + ": " + b
}

// storageStatus asks the storage process of a running sandbox, through the control
// socket in the mounted directory.
func storageStatus(ctx context.Context, sandboxDir datadir.Sandbox) (contract.StorageStatus, error) {
	var st contract.StorageStatus
	dir, err := sockdir.Open(sandboxDir.RunDir())
	if err != nil {
		return st, err
	}
	defer dir.Close()
	c := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dir.Dial(ctx, contract.ControlSocketName)
	}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://sandbox"+contract.ControlStatusPath, nil)
	if err != nil {
		return st, err
	}
	res, err := c.Do(req)
	if err != nil {
		return st, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return st, errors.New(res.Status)
	}
	return st, json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&st)
}
