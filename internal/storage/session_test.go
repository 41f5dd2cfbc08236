package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/storage/control"
	"github.com/matrx/sandbox/internal/storage/lease"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// journalOf is what happened, in order.
type journalOf struct {
	mu     sync.Mutex
	events []string
}

func (j *journalOf) add(event string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, event)
}

func (j *journalOf) all() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.events, ", ")
}

// fakeHot records what it is asked. Functions that are nil succeed at once.
type fakeHot struct {
	*journalOf
	hydrate func(ctx context.Context) error
	flush   func(ctx context.Context) (wire.Flushed, error)
	run     chan error // ends Run
	sealed  lease.Seal // what Hydrate was told
	seal    func() lease.Seal
	ended   atomic.Bool // Run has
	drained chan time.Time
}

func (h *fakeHot) Hydrate(ctx context.Context, seal lease.Seal) (wire.Hydrated, error) {
	h.add("hydrate")
	h.sealed = seal
	if h.hydrate != nil {
		if err := h.hydrate(ctx); err != nil {
			return wire.Hydrated{}, err
		}
	}
	return wire.Hydrated{Files: 3}, nil
}

func (h *fakeHot) Resume(context.Context) error { h.add("resume"); return nil }

func (h *fakeHot) Run(ctx context.Context) error {
	defer h.ended.Store(true)
	select {
	case err := <-h.run:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *fakeHot) Drain(deadline time.Time) { h.drained <- deadline }

func (h *fakeHot) Flush(ctx context.Context) (wire.Flushed, error) {
	h.add("flush")
	if h.flush != nil {
		return h.flush(ctx)
	}
	return wire.Flushed{Files: 2}, nil
}

func (h *fakeHot) Seal() lease.Seal {
	if h.seal != nil {
		return h.seal()
	}
	return lease.Seal{}
}

func (h *fakeHot) Checkpoint(context.Context) (contract.Checkpoint, error) {
	return contract.Checkpoint{Sequence: 5}, nil
}

func (h *fakeHot) Status() contract.HotStatus { return contract.HotStatus{State: "synced", Files: 9} }
func (h *fakeHot) Close() error               { return nil }

// fakeCold is a cold path without a mount.
type fakeCold struct {
	left  []contract.Unsaved
	serve error
}

func (c *fakeCold) Serve(ctx context.Context, _ int, started func()) error {
	if c.serve != nil {
		return c.serve
	}
	started()
	<-ctx.Done()
	return ctx.Err()
}
func (c *fakeCold) Flush(context.Context) []contract.Unsaved { return c.left }
func (*fakeCold) Status() *contract.ColdStatus               { return nil }
func (*fakeCold) Handler() http.Handler                      { return http.NotFoundHandler() }
func (*fakeCold) Close() error                               { return nil }

// fakeHolder is a lease.
type fakeHolder struct {
	lease.None
	*journalOf
	seal lease.Seal // of the holder before
	left *lease.Seal
}

func (h fakeHolder) Seal() lease.Seal { return h.seal }

func (h fakeHolder) Release(_ context.Context, seal lease.Seal) error {
	h.add("release")
	if h.left != nil {
		*h.left = seal
	}
	return nil
}

// bed is a session with PID 1's side of it.
type bed struct {
	*session
	*journalOf
	hot  *fakeHot
	to   chan packet
	from chan wire.Message
	code chan int
}

// Send is what PID 1 receives.
func (b *bed) Send(m wire.Message, _ ...int) error {
	b.from <- m
	return nil
}

func newBed(t *testing.T) *bed {
	t.Helper()
	store, err := objectstore.Open(t.Context(), objectstore.Options{S3: config.S3{Bucket: "bkt", Endpoint: "unix:///nowhere"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	j := &journalOf{}
	b := &bed{journalOf: j, to: make(chan packet, 16), from: make(chan wire.Message, 16), code: make(chan int, 1),
		hot: &fakeHot{journalOf: j, run: make(chan error, 1), drained: make(chan time.Time, 1)}}
	cfg := &config.Config{SandboxID: "s", UserID: "u", RunDir: shortDir(t), HydrateTimeout: time.Minute, S3: config.S3{Bucket: "bkt", Prefix: "users/"}}
	b.session = &session{conn: b, cfg: cfg, messages: b.to, log: slog.New(slog.DiscardHandler), deferred: lease.NewDeferred(), hot: b.hot, store: store}
	b.cold = &fakeCold{}
	b.sweep = func(context.Context) {}
	b.claim = func(context.Context) (lease.Holder, error) {
		j.add("claim")
		return fakeHolder{journalOf: j}, nil
	}
	b.reclaim = func(context.Context, func(string)) (lease.Holder, error) {
		j.add("reclaim")
		return fakeHolder{journalOf: j}, nil
	}
	return b
}

// shortDir is a directory whose name leaves room for that of a socket: the 108 bytes of sun_path (unix(7))
// are soon used up by the name of a test.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// reaches waits until the session has come to where a test holds it.
func (b *bed) reaches(t *testing.T, waiting <-chan struct{}) {
	t.Helper()
	select {
	case <-waiting:
	case m := <-b.from:
		t.Fatalf("the session ended before: %+v", m.Failed)
	}
}

func (b *bed) start() *bed {
	go func() { b.code <- b.run(context.Background()) }()
	return b
}

// ends closes the wire after the last word, as PID 1's SIGKILL would, and returns the code.
func (b *bed) ends() int {
	close(b.to)
	return <-b.code
}

func (b *bed) want(t *testing.T, events string) {
	t.Helper()
	if got := b.all(); got != events {
		t.Errorf("what happened: %s\nwant:          %s", got, events)
	}
}

// soon is a deadline far enough away, counted from the call.
func soon() *wire.Deadline {
	d := wire.In(time.Minute)
	return &d
}

func TestALife(t *testing.T) {
	b := newBed(t).start()
	if h := (<-b.from).Hydrated; h == nil || h.Files != 3 {
		t.Fatalf("no Hydrated: %+v", h)
	}
	client := control.NewClient(b.cfg.RunDir)
	for { // Hydrated is sent a moment before the work begins
		done, err := client.Checkpoint(t.Context())
		if err == nil {
			if done.Sequence != 5 {
				t.Errorf("Checkpoint = %+v", done)
			}
			break
		}
		if !strings.Contains(err.Error(), "starting or stopping") {
			t.Fatal(err)
		}
	}
	if st, err := client.Status(t.Context()); err != nil || st.Hot.Files != 9 || st.Store.Prefix != "users/u/" || st.Lease.State != "none" {
		t.Errorf("Status = %+v, %v", st, err)
	}
	b.to <- packet{Message: wire.Message{Cold: &wire.Cold{}}}
	if f := (<-b.from).ColdFailed; f == nil || !strings.Contains(f.Reason, "no descriptor") {
		t.Errorf("Cold without a descriptor: %+v", f)
	}
	b.to <- packet{Message: wire.Message{Drain: soon()}}
	if d := <-b.hot.drained; time.Until(d) > time.Minute || time.Until(d) < 30*time.Second {
		t.Errorf("Drain's deadline is in %s", time.Until(d))
	}
	b.to <- packet{Message: wire.Message{Flush: soon()}}
	f := (<-b.from).Flushed
	if f == nil || f.Files != 2 || f.UnsavedCount != 0 || f.Took == 0 {
		t.Fatalf("Flushed = %+v", f)
	}
	if _, err := client.Checkpoint(t.Context()); err == nil {
		t.Error("a checkpoint after the flush succeeded")
	}
	if code := b.ends(); code != exitDone {
		t.Errorf("it ended with %d", code)
	}
	b.want(t, "claim, hydrate, flush, release")
}

func TestTheWorkspaceIsHeld(t *testing.T) {
	b := newBed(t)
	b.claim = func(context.Context) (lease.Holder, error) {
		return nil, &lease.HeldError{Prefix: "s3://b/users/u/", SandboxID: "other", Instance: "abc"}
	}
	b.start()
	f := (<-b.from).Failed
	if f == nil || f.Code != contract.ExitHydrate || !strings.Contains(f.Message, `"other" (instance abc)`) {
		t.Errorf("Failed = %+v", f)
	}
	if code := <-b.code; code != exitFailed {
		t.Errorf("it ended with %d", code)
	}
	b.want(t, "")
}

func TestHydrateFails(t *testing.T) {
	b := newBed(t)
	b.hot.hydrate = func(context.Context) error { return errors.New("disk full") }
	b.start()
	if f := (<-b.from).Failed; f == nil || f.Code != contract.ExitHydrate || f.Message != "disk full" {
		t.Errorf("Failed = %+v", f)
	}
	<-b.code
	b.want(t, "claim, hydrate, release")
}

func TestHydrateTakesTooLong(t *testing.T) {
	b := newBed(t)
	b.cfg.HydrateTimeout = time.Millisecond
	b.hot.hydrate = func(ctx context.Context) error {
		<-ctx.Done()
		return fmt.Errorf("cannot read: %w", context.Cause(ctx))
	}
	b.start()
	if f := (<-b.from).Failed; f == nil || !strings.Contains(f.Message, "s3://bkt/users/u/ within HYDRATE_TIMEOUT_SECONDS=0: cannot read") {
		t.Errorf("Failed = %+v", f)
	}
	<-b.code
}

func TestStopBeforeHydrated(t *testing.T) {
	wait := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for _, test := range []struct {
		name    string
		arrange func(b *bed, waiting chan<- struct{})
		message wire.Message
		events  string
	}{
		{"while the lease is waited for", func(b *bed, waiting chan<- struct{}) {
			b.claim = func(ctx context.Context) (lease.Holder, error) { close(waiting); return nil, wait(ctx) }
		}, wire.Message{Stop: soon()}, ""},
		{"while hydrating", func(b *bed, waiting chan<- struct{}) {
			b.hot.hydrate = func(ctx context.Context) error { close(waiting); return wait(ctx) }
		}, wire.Message{Stop: soon()}, "claim, hydrate, release"},
		{"a Flush that PID 1 should not have sent", func(b *bed, waiting chan<- struct{}) {
			b.hot.hydrate = func(ctx context.Context) error { close(waiting); return wait(ctx) }
		}, wire.Message{Flush: soon()}, "claim, hydrate, release"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b, waiting := newBed(t), make(chan struct{})
			test.arrange(b, waiting)
			b.start()
			b.reaches(t, waiting)
			b.to <- packet{Message: wire.Message{Drain: soon()}} // means nothing yet
			b.to <- packet{Message: test.message}
			if f := (<-b.from).Flushed; f == nil || f.UnsavedCount != 0 || f.Reason != "" {
				t.Errorf("Flushed = %+v", f)
			}
			b.ends()
			b.want(t, test.events)
		})
	}
}

// A hydrate that does not end when told to must not keep PID 1 waiting.
func TestStopDoesNotWaitForever(t *testing.T) {
	b, stuck, waiting := newBed(t), make(chan struct{}), make(chan struct{})
	b.hot.hydrate = func(context.Context) error { close(waiting); <-stuck; return errors.New("late") }
	b.start()
	<-waiting
	now := wire.In(0)
	b.to <- packet{Message: wire.Message{Stop: &now}}
	if f := (<-b.from).Flushed; f == nil {
		t.Error("no Flushed")
	}
	b.ends()
	close(stuck)
}

// PID 1's Stop and our Hydrated may cross.
func TestStopAfterHydratedFlushesNothing(t *testing.T) {
	b := newBed(t).start()
	<-b.from
	b.to <- packet{Message: wire.Message{Stop: soon()}}
	if f := (<-b.from).Flushed; f == nil {
		t.Error("no Flushed")
	}
	b.ends()
	b.want(t, "claim, hydrate, release")
}

func TestResumeDoesNotWaitForS3(t *testing.T) {
	b := newBed(t)
	b.resumes = true
	back := make(chan struct{})
	b.reclaim = func(ctx context.Context, problem func(string)) (lease.Holder, error) {
		problem("S3 is away")
		<-back
		problem("")
		return fakeHolder{journalOf: b.journalOf}, nil
	}
	b.start()
	seen := []string{}
	for range 2 { // in either order
		switch m := <-b.from; {
		case m.Hydrated != nil:
			seen = append(seen, fmt.Sprintf("hydrated %d", m.Hydrated.Files))
		case m.Problem != nil:
			seen = append(seen, "problem "+m.Problem.Message)
		}
	}
	slices.Sort(seen)
	if !slices.Equal(seen, []string{"hydrated 9", "problem S3 is away"}) {
		t.Fatalf("PID 1 was told %v", seen)
	}
	// A write waits for the lease.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := b.deferred.Write(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a write was admitted without the lease: %v", err)
	}
	close(back)
	if p := (<-b.from).Problem; p == nil || p.Message != "" {
		t.Errorf("Problem = %+v, want that it is over", p)
	}
	if _, end, err := b.deferred.Write(t.Context()); err != nil {
		t.Errorf("Write = %v", err)
	} else {
		end()
	}
	b.to <- packet{Message: wire.Message{Flush: soon()}}
	<-b.from
	b.ends()
	b.want(t, "resume, flush, release")
}

// S3 is away from the crash to the end: the flush says so and ends in time.
func TestFlushBeforeTheLeaseIsBack(t *testing.T) {
	b := newBed(t)
	b.resumes = true
	b.reclaim = func(ctx context.Context, _ func(string)) (lease.Holder, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	b.hot.flush = func(ctx context.Context) (wire.Flushed, error) {
		_, _, err := b.deferred.Write(ctx)
		return wire.Flushed{UnsavedCount: 1, Unsaved: []contract.Unsaved{{Path: "a", Reason: "S3 is away"}}}, err
	}
	b.start()
	<-b.from
	now := wire.In(time.Millisecond)
	b.to <- packet{Message: wire.Message{Flush: &now}}
	if f := (<-b.from).Flushed; f == nil || f.UnsavedCount != 1 || f.Reason == "" {
		t.Errorf("Flushed = %+v", f)
	}
	b.ends()
}

func TestResumeFindsTheWorkspaceTaken(t *testing.T) {
	b := newBed(t)
	b.resumes = true
	b.reclaim = func(context.Context, func(string)) (lease.Holder, error) {
		return lease.Superseded{By: &lease.HeldError{SandboxID: "other", Instance: "abc"}}, nil
	}
	b.start()
	var problem string
	for range 2 {
		if m := <-b.from; m.Problem != nil {
			problem = m.Problem.Message
		}
	}
	if !strings.Contains(problem, `"other" (instance abc)`) {
		t.Errorf("the problem is %q", problem)
	}
	if _, _, err := b.deferred.Write(t.Context()); !errors.Is(err, lease.ErrLost) {
		t.Errorf("Write = %v", err)
	}
	if st := b.Status(); st.Lease.State != "lost" {
		t.Errorf("the lease is %+v", st.Lease)
	}
	b.to <- packet{Message: wire.Message{Stop: soon()}}
	<-b.from
	b.ends()
}

func TestAFlushThatFails(t *testing.T) {
	b := newBed(t)
	b.hot.flush = func(context.Context) (wire.Flushed, error) {
		return wire.Flushed{}, errors.New("the journal's disk is full")
	}
	b.start()
	<-b.from
	b.to <- packet{Message: wire.Message{Flush: soon()}}
	if f := (<-b.from).Flushed; f == nil || f.Reason != "the journal's disk is full" {
		t.Errorf("Flushed = %+v", f)
	}
	b.ends()
}

// The next process resumes and flushes; nothing was lost and nothing is claimed.
func TestRunEndsInTheFlush(t *testing.T) {
	b := newBed(t)
	b.hot.flush = func(ctx context.Context) (wire.Flushed, error) {
		b.hot.run <- errors.New("the journal's disk is full")
		<-ctx.Done()
		return wire.Flushed{}, ctx.Err()
	}
	b.start()
	<-b.from
	now := wire.In(time.Minute)
	b.to <- packet{Message: wire.Message{Flush: &now}}
	if code := <-b.code; code != exitFailed {
		t.Errorf("it ended with %d", code)
	}
	if len(b.from) != 0 {
		t.Errorf("PID 1 was told %+v", <-b.from)
	}
	b.want(t, "claim, hydrate, flush")
}

func TestTheColdPathIsServedAndFlushed(t *testing.T) {
	b := newBed(t)
	b.cfg.StateDir = t.TempDir()
	cold := b.cold.(*fakeCold)
	cold.left = []contract.Unsaved{{Path: "/data/cold/x", Reason: "S3 is away"}}
	list := filepath.Join(b.cfg.StateDir, contract.UnsavedFileName)
	b.hot.flush = func(context.Context) (wire.Flushed, error) {
		old := contract.UnsavedList{SandboxID: "s", Files: []contract.Unsaved{{Path: "a", Reason: "denied"}}}
		content, err := json.Marshal(old)
		if err == nil {
			err = os.WriteFile(list, content, 0o600)
		}
		return wire.Flushed{UnsavedCount: 1, Unsaved: old.Files, Reason: "denied"}, err
	}
	b.start()
	<-b.from
	b.to <- packet{Message: wire.Message{Cold: &wire.Cold{}}, fds: []int{devNull(t)}}
	if m := <-b.from; m.ColdReady == nil {
		t.Errorf("PID 1 was told %+v", m)
	}
	b.to <- packet{Message: wire.Message{Flush: soon()}}
	f := (<-b.from).Flushed
	if f == nil || f.UnsavedCount != 2 || len(f.Unsaved) != 2 || f.Reason != "denied" {
		t.Errorf("Flushed = %+v", f)
	}
	var got contract.UnsavedList
	content, err := os.ReadFile(list)
	if err == nil {
		err = json.Unmarshal(content, &got)
	}
	if err != nil || len(got.Files) != 2 || got.Files[0].Path != "a" || got.Files[1].Path != "/data/cold/x" {
		t.Errorf("the list is %s, %v", content, err)
	}
	b.ends()
}

func TestAMountThatCannotBeServed(t *testing.T) {
	b := newBed(t)
	b.cold.(*fakeCold).serve = errors.New("protocol 6 is too old")
	b.start()
	<-b.from
	b.to <- packet{Message: wire.Message{Cold: &wire.Cold{}}, fds: []int{devNull(t)}}
	if f := (<-b.from).ColdFailed; f == nil || f.Reason != "protocol 6 is too old" {
		t.Errorf("ColdFailed = %+v", f)
	}
	b.to <- packet{Message: wire.Message{Stop: soon()}}
	<-b.from
	b.ends()
}

func devNull(t *testing.T) int {
	t.Helper()
	fd, err := syscall.Open(os.DevNull, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) }) // the fake does not take it over
	return fd
}

// The lease's problem comes first, and what it hid is said when it is over.
func TestTheFirstProblemIsTold(t *testing.T) {
	b := newBed(t)
	b.reportProblem(fromHot, "a file is denied")
	b.reportProblem(fromLease, "in doubt")
	b.reportProblem(fromHot, "two files are denied")
	b.reportProblem(fromLease, "")
	b.reportProblem(fromHot, "")
	for _, want := range []string{"a file is denied", "in doubt", "two files are denied", ""} {
		if p := (<-b.from).Problem; p == nil || p.Message != want {
			t.Errorf("Problem = %+v, want %q", p, want)
		}
	}
}

// A home that is not watched any more is a reason to start anew, never to go on.
func TestRunEnds(t *testing.T) {
	for _, err := range []error{errors.New("the home is gone"), nil} {
		b := newBed(t).start()
		<-b.from
		b.hot.run <- err
		if code := <-b.code; code != exitFailed {
			t.Errorf("it ended with %d", code)
		}
	}
}

func TestALongProblemFitsAPacketAndIsSaidOnce(t *testing.T) {
	b := newBed(t)
	long := strings.Repeat("x", 1<<20)
	b.reportProblem(fromHot, long)
	b.reportProblem(fromHot, long)
	b.reportProblem(fromHot, "")
	if p := (<-b.from).Problem; len(p.Message) > wire.MaxPacket/2 {
		t.Errorf("%d bytes", len(p.Message))
	}
	if p := (<-b.from).Problem; p.Message != "" {
		t.Errorf("it was said twice")
	}
}
