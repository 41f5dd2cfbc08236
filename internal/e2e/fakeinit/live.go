package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/unixhttp"
)

const keptFile = contract.DefaultHotPath + "/file"

var state = contract.State{Phase: contract.PhaseBoot, Storage: contract.StorageS3, PID: 1}

func publish(change func(*contract.State)) {
	change(&state)
	b, _ := json.Marshal(state)
	path := contract.DefaultRunDir + "/" + contract.StateFileName
	if os.WriteFile(path+".next", b, 0o644) == nil {
		os.Rename(path+".next", path)
	}
}

// live is a sandbox's life.
func live(args []string) int {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM)
	os.Chown(contract.DefaultRunDir, 0, 0) // as sandbox-init does
	os.Chmod(contract.DefaultRunDir, 0o755)
	publish(func(st *contract.State) { st.StartedAt = time.Now(); st.Phase = contract.PhaseHydrate })
	if err := takeLease(); err != nil {
		return end(contract.ExitHydrate, func(st *contract.State) { st.Problem = err.Error() })
	}
	if err := hydrate(); err != nil {
		return end(contract.ExitHydrate, func(st *contract.State) { st.Problem = err.Error() })
	}
	publish(func(st *contract.State) {
		st.Phase, st.Ready, st.ReadyAt = contract.PhaseRun, true, time.Now()
		st.Hydrate = &contract.Transfer{Files: 1}
	})

	stopped := make(chan struct{})
	done := make(chan int, 1)
	go func() { done <- perform(args, stopped) }()
	var code int
	select {
	case code = <-done:
	case <-signals:
		publish(func(st *contract.State) { st.Phase, st.Ready = contract.PhaseDrain, false })
		if len(args) > 0 && args[0] == "deaf" {
			<-signals
			fmt.Println("second signal")
		}
		close(stopped)
		code = <-done
	}
	publish(func(st *contract.State) { st.Phase, st.Ready = contract.PhaseFlush, false })
	if len(args) > 0 && args[0] == "unsaved" {
		return end(contract.ExitUnsaved, func(st *contract.State) {
			st.Flush = &contract.FlushResult{UnsavedCount: 2, Reason: "asked not to"}
		})
	}
	n, err := save()
	if err != nil {
		return end(contract.ExitUnsaved, func(st *contract.State) { st.Problem = err.Error() })
	}
	return end(code, func(st *contract.State) {
		st.Flush = &contract.FlushResult{Transfer: contract.Transfer{Files: n, Bytes: 7, Took: time.Millisecond}}
	})
}

func end(code int, change func(*contract.State)) int {
	publish(func(st *contract.State) {
		st.Phase, st.Ready, st.ExitCode = contract.PhaseExit, false, &code
		change(st)
	})
	return code
}

func takeLease() error {
	me := contract.LeaseHolder{SandboxID: os.Getenv(contract.EnvSandboxID), Instance: instance()}
	code, body, err := ask("GET", contract.LeaseName, "")
	if err != nil {
		return err
	}
	if code == http.StatusOK {
		var h contract.LeaseHolder
		json.Unmarshal([]byte(body), &h)
		if !h.Released && h.Instance != me.Instance && h.Instance != os.Getenv(contract.EnvLeaseTakeover) {
			return fmt.Errorf("the workspace is in use by the sandbox %s", h.SandboxID)
		}
	}
	return putLease(me)
}

func putLease(h contract.LeaseHolder) error {
	b, _ := json.Marshal(h)
	return put(contract.LeaseName, string(b))
}

// instance is new with each state directory.
func instance() string {
	path := contract.DefaultStateDir + "/instance"
	if b, err := os.ReadFile(path); err == nil {
		return string(b)
	}
	id := rand.Text()
	os.WriteFile(path, []byte(id), 0o600)
	return id
}

// hydrate fetches the file, unless it is on the volume already.
func hydrate() error {
	if _, err := os.Stat(keptFile); err == nil {
		return nil
	}
	code, body, err := ask("GET", "hot/file", "")
	if err != nil {
		return err
	}
	switch code {
	case http.StatusOK:
		return os.WriteFile(keptFile, []byte(body), 0o644)
	case http.StatusNotFound:
		return nil
	}
	return fmt.Errorf("hydrate: %d %s", code, body)
}

func save() (int64, error) {
	b, err := os.ReadFile(keptFile)
	if err != nil {
		return 0, putLease(contract.LeaseHolder{Instance: instance(), Released: true})
	}
	if err := put("hot/file", string(b)); err != nil {
		return 0, err
	}
	return 1, putLease(contract.LeaseHolder{Instance: instance(), Released: true})
}

func put(key, body string) error {
	code, answer, err := ask("PUT", key, body)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("cannot put %s: %d %s", key, code, answer)
	}
	return err
}

// ask sends a request to the storage socket, as often as it takes: the daemon that serves
// it may be starting again. A key that begins with "/" is a whole path.
func ask(method, key, body string) (int, string, error) {
	socket := strings.TrimPrefix(os.Getenv(contract.EnvS3Endpoint), unixhttp.Scheme)
	c := http.Client{Transport: unixhttp.OneShot(socket)}
	path := key
	if !strings.HasPrefix(key, "/") {
		path = "/" + os.Getenv(contract.EnvS3Bucket) + "/" + os.Getenv(contract.EnvS3Prefix) + os.Getenv(contract.EnvUserID) + "/" + key
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		req, err := http.NewRequest(method, "http://s3"+path, strings.NewReader(body))
		if err != nil {
			return 0, "", err
		}
		res, err := c.Do(req)
		if err == nil {
			b, rerr := io.ReadAll(res.Body)
			res.Body.Close()
			if res.StatusCode != http.StatusServiceUnavailable || time.Now().After(deadline) {
				return res.StatusCode, string(b), rerr
			}
		} else if time.Now().After(deadline) {
			return 0, "", err
		}
		time.Sleep(50 * time.Millisecond)
	}
}
