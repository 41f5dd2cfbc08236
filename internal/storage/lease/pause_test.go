package lease

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/testbed"
	"github.com/matrx/sandbox/internal/wire"
)

// A holder that is stopped in the middle of its writes, past its deadline, while another
// takes the workspace and writes: a process of its own, with SIGSTOP, in real time.

const writers = 4

type pausedChild struct {
	S3          config.S3
	Credentials wire.Credentials
	ETags       []string
}

func TestMain(m *testing.M) {
	if job := os.Getenv("LEASE_TEST_CHILD"); job != "" {
		var c pausedChild
		if err := json.Unmarshal([]byte(job), &c); err != nil {
			panic(err)
		}
		c.run()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func dataKey(i int) string { return fmt.Sprintf("users/u/hot/%d", i) }

// run holds the lease and overwrites its objects, each in a goroutine, until it is lost.
func (c pausedChild) run() {
	store, err := objectstore.Open(context.Background(), objectstore.Options{S3: c.S3, Credentials: c.Credentials})
	if err != nil {
		panic(err)
	}
	opts := s3Options(store, "one")
	opts.Clock = nil // the real one
	l, err := Acquire(context.Background(), opts)
	if err != nil {
		panic(err)
	}
	fmt.Println("acquired")
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			for n := 0; ; n++ {
				w, cancel, err := l.Write(context.Background())
				if err != nil {
					fmt.Printf("writer %d ends: lost=%v\n", i, errors.Is(err, ErrLost))
					return
				}
				body := fmt.Appendf(nil, "old %d", n)
				o, err := store.Put(w, dataKey(i), bytes.NewReader(body), int64(len(body)), objectstore.PutOptions{Condition: objectstore.Condition{IfMatch: c.ETags[i]}})
				cancel()
				if err == nil {
					c.ETags[i] = o.ETag
				}
			}
		})
	}
	all.Wait()
}

func TestAPausedHolderWritesNothingAfterItsDeadline(t *testing.T) {
	t.Parallel()
	srv := testbed.S3(t)
	b := srv.Bucket(t)
	p := testbed.Proxy(t, srv)
	child := pausedChild{S3: p.Config(b), Credentials: b.Credentials()}
	for i := range writers {
		child.ETags = append(child.ETags, b.Put(dataKey(i), "first", nil))
	}
	job, err := json.Marshal(child)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LEASE_TEST_CHILD="+string(job))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	defer func() {
		if !ended {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}()
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "acquired" {
		t.Fatalf("the child says %q", lines.Text())
	}
	// Let it write for a while, then hold every writer's request in front of the server.
	p.WaitFor(t.Context(), testbed.Match{Regexp: "/hot/"}, 20*writers)
	gate := testbed.Hold()
	p.Add(testbed.Fault{When: testbed.Match{Regexp: "/hot/"}, Do: gate})
	if !gate.WaitArrived(t.Context(), writers) {
		t.Fatal("the writers have stopped")
	}
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	stopped := bootClock{}.Now()
	p.Forget()

	// The caller knows the holder to be dead, takes over and writes.
	opts := s3Options(openStore(t, b.Config(), b.Credentials()), "two")
	opts.Clock, opts.Takeover = nil, "i-one"
	acquire(t, opts)
	for i := range writers {
		b.Put(dataKey(i), "new", nil)
	}
	gate.Open() // what was in flight arrives now

	// The pause is the subject here: the deadline counts in real time.
	if err := (bootClock{}).Until(t.Context(), stopped+writeFor+time.Second); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	ends := 0
	for lines.Scan() {
		if !strings.HasSuffix(lines.Text(), "lost=true") {
			t.Errorf("the child says %q", lines.Text())
		}
		ends++
	}
	err, ended = cmd.Wait(), true
	if err != nil || ends != writers {
		t.Errorf("%d writers ended, the child with %v", ends, err)
	}
	for _, r := range p.Requests() {
		if strings.Contains(r.Key, "/hot/") && r.Method != "GET" && r.Method != "HEAD" {
			t.Errorf("after its deadline it sent %s %s", r.Verb, r.Key)
		}
	}
	for i := range writers {
		b.Want(dataKey(i), "new")
	}
}
