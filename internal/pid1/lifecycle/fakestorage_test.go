package lifecycle

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/wire"
)

// playStorage is a storage process that follows a plan: one for each process, separated by
// "|", the last for all that follow; each is a list of steps:
//
//	hello hydrated coldready coldfailed problem flushed unsaved failed   sends that
//	start cold drain flush stop    waits for that message and fails if another comes first
//	drainatlast                    as drain; a cold before it is let pass
//	serve                          as cold, then serves the descriptor beside the rest
//	gate:NAME                      waits until the test opens the FIFO NAME
//	die                            is killed
//	exit                           ends
//	garble                         sends what is no message
//	rest                           waits for its end
//
// Every step is said in the log, which PID 1 and the tests share.
func playStorage(dir, plan string) int {
	n := count(dir)
	plans := strings.Split(plan, "|")
	s := &fakeStorage{dir: dir, n: n}
	var err error
	if s.conn, err = wire.Inherited(); err != nil {
		return s.fail(err)
	}
	s.record("process", aboutMe())
	for step := range strings.FieldsSeq(plans[min(n, len(plans)-1)]) {
		if err := s.play(step); err != nil {
			return s.fail(fmt.Errorf("%s: %w", step, err))
		}
	}
	return 0
}

// fakeStorage is one storage process.
type fakeStorage struct {
	dir  string
	n    int // 0 for the first of the sandbox
	conn *wire.Conn
	fuse int
}

// count numbers the storage processes of a sandbox, each of which leaves a file.
func count(dir string) int {
	for n := 0; ; n++ {
		f, err := os.OpenFile(filepath.Join(dir, "storage-"+strconv.Itoa(n)), os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			f.Close()
			return n
		}
	}
}

func (s *fakeStorage) say(step string, more ...any) {
	line, _ := json.Marshal(map[string]any{"event": "storage:" + step, "process": s.n, "more": more})
	_, _ = os.Stderr.Write(append(line, '\n'))
}

func (s *fakeStorage) fail(err error) int {
	s.say("wrong", err.Error())
	return 1
}

func (s *fakeStorage) play(step string) error {
	name, arg, _ := strings.Cut(step, ":")
	switch name {
	case "start", "cold", "drain", "flush", "stop", "serve", "drainatlast":
		err := s.receive(name)
		s.say(name)
		return err
	}
	s.say(name, arg)
	switch name {
	case "gate":
		f, err := os.Open(filepath.Join(s.dir, arg))
		if err == nil {
			f.Close()
		}
		return err
	case "die":
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	case "exit":
		os.Exit(1)
	case "garble":
		_, err := unix.Write(wire.FD, []byte("x"))
		return err
	case "rest":
		for {
			if _, _, err := s.conn.Recv(); err != nil {
				return err
			}
		}
	}
	return s.conn.Send(messages(arg)[name])
}

// messages are what the steps send.
func messages(arg string) map[string]wire.Message {
	return map[string]wire.Message{
		"hello":      {Hello: &wire.Hello{}},
		"hydrated":   {Hydrated: &wire.Hydrated{Files: 3, Bytes: 30, Took: time.Second}},
		"failed":     {Failed: &wire.Failed{Code: contract.ExitHydrate, Message: "it cannot be had"}},
		"coldready":  {ColdReady: &wire.ColdReady{}},
		"coldfailed": {ColdFailed: &wire.ColdFailed{Reason: "no cold today"}},
		"problem":    {Problem: &wire.Problem{Message: arg}},
		"flushed":    {Flushed: &wire.Flushed{Files: 1, Bytes: 10}},
		"unsaved":    {Flushed: &wire.Flushed{UnsavedCount: 1, Unsaved: []contract.Unsaved{{Path: "a", Reason: "b"}}}},
		"held":       {Flushed: &wire.Flushed{Reason: "deletions are held"}},
	}
}

// receive waits for one message and keeps what came with it.
func (s *fakeStorage) receive(want string) error {
	m, fds, err := s.conn.Recv()
	if err != nil {
		return err
	}
	if want == "drainatlast" {
		if m.Cold != nil { // it came before the drain began
			for _, fd := range fds {
				_ = unix.Close(fd)
			}
			return s.receive(want)
		}
		want = "drain"
	}
	got := map[string]bool{"start": m.Start != nil, "cold": m.Cold != nil, "serve": m.Cold != nil, "drain": m.Drain != nil, "flush": m.Flush != nil, "stop": m.Stop != nil}
	if !got[want] {
		body, _ := json.Marshal(m)
		return fmt.Errorf("got %s", body)
	}
	switch {
	case m.Start != nil:
		s.record("start", m.Start)
	case m.Cold != nil:
		if len(fds) != 1 {
			return fmt.Errorf("%d descriptors", len(fds))
		}
		s.fuse = fds[0]
		if want == "serve" {
			go serveFuse(s.fuse)
		}
	case m.Flush != nil:
		// All others must have ended: the command's number is free.
		if pid, err := os.ReadFile(filepath.Join(s.dir, "pid")); err == nil {
			if n, err := strconv.Atoi(strings.TrimSpace(string(pid))); err == nil && unix.Kill(n, 0) == nil {
				s.say("wrong", "the command lives at the flush")
			}
		}
	}
	return nil
}

// record leaves something for the test to look at.
func (s *fakeStorage) record(name string, v any) {
	body, err := json.Marshal(v)
	if err == nil {
		err = os.WriteFile(filepath.Join(s.dir, fmt.Sprintf("%s-%d.json", name, s.n)), body, 0o600)
	}
	if err != nil {
		s.say("wrong", err.Error())
	}
}

// me is what a storage process finds itself to be.
type me struct {
	Environ []string
	Args    []string
	FDs     []string
	Status  map[string]string
	OOM     string
}

func aboutMe() (m me) {
	m.Environ, m.Args = os.Environ(), os.Args
	m.Status = statusOf("self")
	score, _ := os.ReadFile("/proc/self/oom_score_adj")
	m.OOM = strings.TrimSpace(string(score))
	return m
}

// statusOf is /proc/PID/status.
func statusOf(pid string) map[string]string {
	all := map[string]string{}
	body, _ := os.ReadFile("/proc/" + pid + "/status")
	for line := range strings.Lines(string(body)) {
		name, value, _ := strings.Cut(line, ":")
		all[name] = strings.TrimSpace(value)
	}
	return all
}
