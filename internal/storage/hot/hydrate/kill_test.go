package hydrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/testbed"
	"github.com/matrx/sandbox/internal/wire"
)

const childEnv = "HYDRATE_TEST_CHILD"

// childConfig is what the test tells its child.
type childConfig struct {
	Config      config.Config
	Credentials wire.Credentials
	Boot        string
}

// child is a storage process that hydrates, and nothing else. It runs from TestMain.
func child(spec string) error {
	var c childConfig
	if err := json.Unmarshal([]byte(spec), &c); err != nil {
		return err
	}
	store, err := objectstore.Open(context.Background(), objectstore.Options{S3: c.Config.S3, Credentials: c.Credentials})
	if err != nil {
		return err
	}
	root, err := tree.Open(c.Config.HotPath)
	if err != nil {
		return err
	}
	id, err := root.Identity()
	if err != nil {
		return err
	}
	j, err := journal.Open(c.Config.StateDir, journal.Identity{Bucket: c.Config.S3.Bucket, Prefix: c.Config.HotPrefix(), FileSystem: id.Dev, Ino: id.Ino, Btime: id.Btime, BootID: c.Boot})
	if err != nil {
		return err
	}
	_, err = Run(context.Background(), Deps{Config: &c.Config, Store: store, Root: root, Journal: j, Dir: c.Config.StateDir, Log: slog.New(slog.DiscardHandler)})
	return err
}

func (h *home) child() *exec.Cmd {
	h.t.Helper()
	c := childConfig{Config: *h.cfg, Credentials: h.bucket.Credentials(), Boot: h.boot}
	c.Config.S3 = h.s3
	spec, err := json.Marshal(c)
	must(h.t, err)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(spec))
	cmd.Stderr = os.Stderr
	// The tests run in the hundreds of processes of one machine: none may be left.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// A kill at any instant leaves whole files, S3 as it was, and a start that goes on: no
// conflict copy, no temporary file, nothing lost that was there before.
func TestKilled(t *testing.T) {
	h, want := published(t, 400)
	// Some files by themselves, some out of the bundle, one large, one that is replaced.
	h.put("alone", "alone")
	big := make([]byte, 20<<20)
	for i := range big {
		big[i] = byte(i >> 12)
	}
	store := h.store()
	_, err := store.Put(t.Context(), h.key("big"), readerAt(big), int64(len(big)), objectstore.PutOptions{})
	must(t, err)
	p := h.through()
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	before := h.bucket.ETags("")
	kills, finished := 0, 0
	for kills < 25 {
		cmd := h.child()
		must(t, cmd.Start())
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case err := <-ended:
			must(t, err)
			finished++
			h.lose()
			continue
		case <-time.After(time.Duration(rnd.IntN(120)) * time.Millisecond):
			err := cmd.Process.Kill()
			if errors.Is(err, os.ErrProcessDone) { // it was as fast
				must(t, <-ended)
				finished++
				h.lose()
				continue
			}
			must(t, err)
			<-ended
			kills++
		}
		for path, n := range testbed.Scan(t, h.path) {
			if !n.IsFile() || tree.IsTemp(path[max(0, len(path)-37):]) {
				continue
			}
			switch w := want[path]; {
			case path == "alone" && string(n.Content) != "alone", path == "big" && n.Size != int64(len(big)), path != "alone" && path != "big" && n.SHA256 != w.SHA256:
				t.Fatalf("%q is not whole: %+v", path, n)
			}
		}
	}
	if !equalMaps(before, h.bucket.ETags("")) {
		t.Error("S3 was changed")
	}
	t.Logf("%d kills, %d that came through", kills, finished)
	p.Forget()
	r := h.hydrate()
	if len(r.Conflicts) > 0 {
		t.Errorf("conflicts %q", r.Conflicts)
	}
	h.want("alone", "alone")
	got := testbed.Scan(t, h.path)
	if got["big"].Size != int64(len(big)) {
		t.Errorf("big is %+v", got["big"])
	}
	testbed.WantTree(t, want, got.Without("alone", "big"), testbed.Ignore{DirMtime: true})
	for path := range got {
		if tree.IsTemp(path) {
			t.Errorf("%q is left", path)
		}
	}
}

type readerAt []byte

func (r readerAt) ReadAt(b []byte, off int64) (int, error) {
	n := copy(b, r[min(off, int64(len(r))):])
	if n < len(b) {
		return n, fmt.Errorf("the end")
	}
	return n, nil
}
