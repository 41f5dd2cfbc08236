package execd

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/execapi"
	"github.com/matrx/sandbox/internal/wire"
)

func TestExec(t *testing.T) {
	s := newSandbox(t)
	for _, tc := range []struct {
		name string
		spec execapi.Spec
		want outcome
	}{
		{"its output and its code", sh("echo out; echo err >&2; exit 7"), outcome{out: "out\n", err: "err\n", final: execapi.Final{Reason: execapi.Exited, Code: 7}}},
		{"a signal", sh("kill -USR1 $$"), outcome{final: execapi.Final{Reason: execapi.Signaled, Code: 128 + 10, Signal: 10}}},
		{"it starts in the home", sh("pwd"), outcome{out: s.home + "\n", final: execapi.Final{Reason: execapi.Exited}}},
		{"or elsewhere", execapi.Spec{Args: []string{"pwd"}, Dir: "/usr"}, outcome{out: "/usr\n", final: execapi.Final{Reason: execapi.Exited}}},
		{"the sandbox's environment, and its own", execapi.Spec{Args: []string{"sh", "-c", `echo $OWN $BOTH $MINE $SANDBOX_EXEC_ID`}, ID: "x1", Env: []string{"BOTH=mine", "MINE=1", "SANDBOX_EXEC_ID=other"}}, outcome{out: "sandbox mine 1 x1\n", final: execapi.Final{Reason: execapi.Exited}}},
		{"no input", sh("cat; echo over"), outcome{out: "over\n", final: execapi.Final{Reason: execapi.Exited}}},
		{"what its descendants hold open", sh("sleep 1000 & echo mine"), outcome{out: "mine\n", final: execapi.Final{Reason: execapi.Exited}}},
		{"no signal is ignored or blocked", sh(`grep -E "^Sig(Blk|Ign)" /proc/self/status | tr -d '\t'`), outcome{out: "SigBlk:0000000000000000\nSigIgn:0000000000000000\n", final: execapi.Final{Reason: execapi.Exited}}},
		{"no descriptor beside its own", sh("ls -l /proc/self/fd | grep -cE 'socket|memfd'; exit 0"), outcome{out: "0\n", final: execapi.Final{Reason: execapi.Exited}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := s.run(tc.spec)
			tc.want.final.Output = int64(len(tc.want.out) + len(tc.want.err))
			if got.final.Ended.IsZero() {
				t.Error("it has not ended")
			}
			got.final.Ended = time.Time{}
			if fmt.Sprint(got) != fmt.Sprint(tc.want) {
				t.Errorf("%+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestExecThatCannotStart(t *testing.T) {
	s := newSandbox(t)
	s.run(execapi.Spec{Args: []string{"true"}, ID: "taken"})
	for _, tc := range []struct {
		spec execapi.Spec
		want error
		says string
	}{
		{execapi.Spec{}, execapi.ErrInvalid, "needs a command"},
		{execapi.Spec{Args: []string{"no-such-command"}}, execapi.ErrNoCommand, `cannot execute "no-such-command"`},
		{execapi.Spec{Args: []string{"/etc/passwd"}}, execapi.ErrNotExecutable, "permission denied"},
		{execapi.Spec{Args: []string{"true"}, Dir: "/none"}, execapi.ErrInvalid, "no such directory"},
		{execapi.Spec{Args: []string{"true"}, Dir: "/etc/passwd"}, execapi.ErrInvalid, "no directory"},
		{execapi.Spec{Args: []string{"true"}, ID: "taken"}, execapi.ErrExists, "already"},
		{execapi.Spec{Args: []string{"true"}, ID: "../x"}, execapi.ErrInvalid, "is wrong"},
		{execapi.Spec{Args: []string{"true"}, Env: []string{"X"}}, execapi.ErrInvalid, "KEY=VALUE"},
		{execapi.Spec{Args: []string{"true", "a\x00b"}}, execapi.ErrInvalid, "NUL"},
		{execapi.Spec{Args: []string{"true"}, Timeout: -1}, execapi.ErrInvalid, "negative"},
	} {
		_, err := s.Start(t.Context(), tc.spec)
		_, aerr := s.StartAttached(t.Context(), tc.spec)
		if !errors.Is(err, tc.want) || !errors.Is(aerr, tc.want) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%+v: %v and %v, want %v", tc.spec, err, aerr, tc.says)
		}
	}
	list, err := s.List(t.Context())
	if err != nil || len(list) != 1 {
		t.Errorf("%+v, %v: of those that did not start none is known", list, err)
	}
}

func TestInput(t *testing.T) {
	s := newSandbox(t)
	spec := sh("cat; echo over")
	spec.Stdin = true
	st, err := s.StartAttached(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("0123456789abcdef", 1<<16) // more than the credit, and than a pipe
	go func() {
		_, _ = st.Write([]byte(text))
		_ = st.CloseInput()
	}()
	got, err := collect(st)
	if err != nil || got.out != text+"over\n" {
		t.Errorf("%d bytes of %d came back: %v", len(got.out), len(text), err)
	}
}

// A process that does not read its input, or whose client does not read its output, holds up no signal.
func TestSignalPassesInputThatIsNotRead(t *testing.T) {
	s := newSandbox(t)
	spec := sh("trap 'exit 3' TERM; echo up; while :; do sleep 0.01; done")
	spec.Stdin = true
	st, err := s.StartAttached(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	await(t, st, "up")
	type end struct {
		outcome
		error
	}
	ended := make(chan end, 1)
	go func() {
		got, err := collect(st)
		ended <- end{got, err}
	}()
	for range 2 { // as much as its pipe takes, and as much as waits for it; then comes the signal
		if _, err := st.Write(make([]byte, execapi.Window)); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.Signal(int(unix.SIGTERM)); err != nil {
		t.Fatal(err)
	}
	_, _ = st.Write(make([]byte, execapi.Window)) // it waits for the exec's end at most
	if got := <-ended; got.error != nil || got.final.Code != 3 {
		t.Errorf("%+v, %v", got.final, got.error)
	}
}

func TestAttachAgainAtAnOffset(t *testing.T) {
	s := newSandbox(t)
	spec := sh("printf 0123456789; read x <go; printf abc")
	spec.Args = []string{"sh", "-c", "mkfifo go; printf 0123456789; read x <go; printf abc"}
	st, err := s.StartAttached(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	id := st.Exec.ID
	await(t, st, "0123456789")
	st.Close() // the connection breaks; the exec goes on
	again, err := s.Attach(t.Context(), id, 4)
	if err != nil {
		t.Fatal(err)
	}
	await(t, again, "456789")
	s.run(sh("echo >go"))
	got, err := collect(again)
	if err != nil || got.out != "abc" || got.final.Output != 13 {
		t.Errorf("%+v, %v", got, err)
	}
	for offset, want := range map[int64]string{0: "0123456789abc", 12: "c", 13: "", 99: ""} {
		st, err := s.Attach(t.Context(), id, offset)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := collect(st); err != nil || got.out != want || got.final.Reason != execapi.Exited {
			t.Errorf("at %d: %+v, %v", offset, got, err)
		}
	}
	if _, err := s.Attach(t.Context(), "none", 0); !errors.Is(err, execapi.ErrNotFound) {
		t.Errorf("to none: %v", err)
	}
}

// No client reads: the process is not held up, the newest MiB is kept, and the gap is told by its offsets.
func TestGapIsTold(t *testing.T) {
	s := newSandbox(t)
	const all = 5 << 20
	x, err := s.Start(t.Context(), sh(fmt.Sprintf("head -c %d /dev/zero; printf end", all)))
	if err != nil {
		t.Fatal(err)
	}
	s.over(x.ID)
	st, err := s.Attach(t.Context(), x.ID, 100)
	if err != nil {
		t.Fatal(err)
	}
	got, err := collect(st)
	if err != nil || len(got.gaps) != 1 || got.gaps[0].From != 100 || !strings.HasSuffix(got.out, "end") ||
		got.gaps[0].To+int64(len(got.out)) != all+3 || len(got.out) < execapi.KeptOutput || len(got.out) > execapi.KeptOutput+wideBlock {
		t.Errorf("%v and %d bytes: %v", got.gaps, len(got.out), err)
	}
}

// over waits for an exec's end without reading its output.
func (s *sandbox) over(id string) execapi.Final {
	s.t.Helper()
	st, err := s.Attach(s.t.Context(), id, 1<<60)
	if err != nil {
		s.t.Fatal(err)
	}
	got, err := collect(st)
	if err != nil {
		s.t.Fatal(err)
	}
	return got.final
}

// A reader that does not read slows the process that writes, and no other; nothing that it has not had is lost.
func TestSlowReaderSlowsItsWriterAlone(t *testing.T) {
	s := newSandbox(t)
	const all = 8 << 20
	slow, err := s.StartAttached(t.Context(), sh(fmt.Sprintf("head -c %d /dev/zero; printf end", all)))
	if err != nil {
		t.Fatal(err)
	}
	// As much as all others may keep, twice over, passes it.
	for range 2 {
		for range 17 {
			if got := s.run(sh("head -c 1048576 /dev/zero")); len(got.out) != 1<<20 {
				t.Fatalf("another gets %d bytes", len(got.out))
			}
		}
	}
	x, err := s.Get(t.Context(), slow.Exec.ID)
	if err != nil || x.Final != nil || x.To >= all {
		t.Errorf("it is not held up: %+v, %v", x, err)
	}
	got, err := collect(slow)
	if err != nil || len(got.out) != all+3 || len(got.gaps) != 0 {
		t.Errorf("%d bytes of %d, gaps %v: %v", len(got.out), all+3, got.gaps, err)
	}
}

func TestTerminal(t *testing.T) {
	s := newSandbox(t)
	spec := sh("stty size; tty; trap 'stty size; echo changed' WINCH; echo up; while :; do read x && echo got $x; done")
	spec.Stdin, spec.Terminal = true, &execapi.Size{Rows: 33, Columns: 99}
	st, err := s.StartAttached(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if got := await(t, st, "up\r\n"); !strings.HasPrefix(got, "33 99\r\n/dev/pts/") {
		t.Errorf("it says %q", got)
	}
	if err := st.Resize(execapi.Size{Rows: 11, Columns: 22}); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(st, "word\r") // dash runs a trap once its read returns
	if got := await(t, st, "got word"); !strings.Contains(got, "11 22\r\nchanged") {
		got += await(t, st, "changed")
		if !strings.Contains(got, "11 22") {
			t.Errorf("it says %q", got)
		}
	}
	fmt.Fprint(st, "\x03") // Ctrl-C
	got, err := collect(st)
	if err != nil || got.final.Signal != int(unix.SIGINT) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestTiedExecEndsWithItsStream: by a broken connection, but not by one that was detached.
func TestTiedExecEndsWithItsStream(t *testing.T) {
	s := newSandbox(t)
	for _, tc := range []struct {
		name   string
		tied   bool
		detach bool
		ends   bool
	}{{"tied", true, false, true}, {"tied and detached", true, true, false}, {"not tied", false, false, false}} {
		t.Run(tc.name, func(t *testing.T) {
			spec := resists()
			spec.Tied = tc.tied
			st, err := s.StartAttached(t.Context(), spec)
			if err != nil {
				t.Fatal(err)
			}
			await(t, st, "up")
			if tc.detach {
				if err := st.Detach(); err != nil {
					t.Fatal(err)
				}
			}
			st.Close()
			if tc.ends {
				if f := s.over(st.Exec.ID); f.Reason != execapi.Signaled {
					t.Errorf("%+v", f)
				}
				return
			}
			s.hungUp()
			if x, err := s.Get(t.Context(), st.Exec.ID); err != nil || x.Final != nil {
				t.Errorf("%+v, %v", x.Final, err)
			}
			if err := s.Remove(t.Context(), st.Exec.ID); err != nil {
				t.Error(err)
			}
		})
	}
}

// resists does not end by a hang-up alone.
func resists() execapi.Spec { return sh("trap '' HUP; echo up; exec sleep 1000") }

// hungUp returns when one more exec that is tied has ended since its client broke off, which takes no less than that of
// an earlier one.
func (s *sandbox) hungUp() {
	s.t.Helper()
	spec := resists()
	spec.Tied = true
	st, err := s.StartAttached(s.t.Context(), spec)
	if err != nil {
		s.t.Fatal(err)
	}
	await(s.t, st, "up")
	st.Close()
	s.over(st.Exec.ID)
}

// TestKilledServerLosesItsExecs: the next one reports them lost, and knows how those ended that had.
func TestKilledServerLosesItsExecs(t *testing.T) {
	s := newSandbox(t)
	spec := sh("exit 4")
	spec.ID = "ended"
	s.run(spec)
	st, err := s.StartAttached(t.Context(), sh("echo up; exec sleep 1000"))
	if err != nil {
		t.Fatal(err)
	}
	await(t, st, "up")
	s.kill()
	if _, err := st.Next(); !errors.Is(err, execapi.ErrBroken) {
		t.Errorf("a stream of the killed one: %v", err)
	}
	ends(t, st.Exec.PID)
	again, err := s.Attach(t.Context(), st.Exec.ID, st.Offset)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := collect(again); err != nil || got.final.Reason != execapi.Lost {
		t.Errorf("%+v, %v", got, err)
	}
	if x, err := s.Get(t.Context(), "ended"); err != nil || x.Final == nil || x.Final.Code != 4 || x.Final.Reason != execapi.Exited {
		t.Errorf("%+v, %v", x, err)
	}
	if err := s.Remove(t.Context(), st.Exec.ID); err != nil {
		t.Error(err)
	}
	s.kill()
	if _, err := s.Get(t.Context(), st.Exec.ID); !errors.Is(err, execapi.ErrNotFound) {
		t.Errorf("one that was removed is known again: %v", err)
	}
}

// TestDrain: no exec starts any more, one that ends was stopped, and its last output arrives.
func TestDrain(t *testing.T) {
	s := newSandbox(t)
	st, err := s.StartAttached(t.Context(), sh("trap 'echo last; exit 0' TERM; echo up; while :; do sleep 0.01; done"))
	if err != nil {
		t.Fatal(err)
	}
	await(t, st, "up")
	s.tell(wire.ExecdDrain)
	for {
		_, err := s.Start(t.Context(), execapi.Spec{Args: []string{"true"}})
		if errors.Is(err, execapi.ErrStopping) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Kill(st.Exec.PID, unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.control.Close() // nothing is left: the server ends
	got, err := collect(st)
	if err != nil || got.out != "last\n" || got.final.Reason != execapi.Stopped || got.final.Code != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if err := s.server.Wait(); err != nil {
		t.Errorf("the server: %v\n%s", err, s.log)
	}
	s.start() // for the cleanup
}
