package wire

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/matrx/sandbox/contract"
)

// ends gives both ends of a pair in one process.
func ends(t *testing.T) (parent, child *Conn) {
	t.Helper()
	parent, file, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Dup(int(file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
	child, err = newConn(fd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { parent.Close(); child.Close() })
	return parent, child
}

func TestMessagesArriveWholeAndInOrder(t *testing.T) {
	a, b := ends(t)
	want := []Message{
		{Start: &Start{Resume: true, Credentials: Credentials{File: []byte("[default]\n"), Env: map[string]string{"AWS_X": "1"}}}},
		{Drain: &Deadline{Boottime: 5}},
		{Flush: &Deadline{Boottime: 1 << 60}},
	}
	go func() {
		for _, m := range want {
			if err := a.Send(m); err != nil {
				t.Error(err)
			}
		}
		a.Close()
	}()
	for i := range want {
		got, fds, err := b.Recv()
		if err != nil || len(fds) != 0 {
			t.Fatalf("Recv %d = %v, %v", i, fds, err)
		}
		if got.name() != want[i].name() {
			t.Errorf("message %d is %s, want %s", i, got.name(), want[i].name())
		}
		if i == 0 && (string(got.Start.Credentials.File) != "[default]\n" || !got.Start.Resume) {
			t.Errorf("Start came as %+v", got.Start)
		}
		if i == 2 && got.Flush.Boottime != 1<<60 {
			t.Errorf("Flush came as %+v", got.Flush)
		}
	}
	if _, _, err := b.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v, want io.EOF", err)
	}
}

func TestADescriptorTravels(t *testing.T) {
	a, b := ends(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := a.Send(Message{Cold: &Cold{}}, int(w.Fd())); err != nil {
		t.Fatal(err)
	}
	w.Close()
	m, fds, err := b.Recv()
	if err != nil || m.Cold == nil || len(fds) != 1 {
		t.Fatalf("Recv = %+v, %v, %v", m, fds, err)
	}
	flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fds[0]), syscall.F_GETFD, 0)
	if errno != 0 || flags&syscall.FD_CLOEXEC == 0 {
		t.Errorf("the descriptor came without close-on-exec: %#x, %v", flags, errno)
	}
	got := os.NewFile(uintptr(fds[0]), "pipe")
	if _, err := got.WriteString("through"); err != nil {
		t.Fatal(err)
	}
	got.Close()
	if text, _ := io.ReadAll(r); string(text) != "through" {
		t.Errorf("the pipe carried %q", text)
	}
}

// The kernel reports ECONNRESET ahead of the queued packets when the other end closes
// with something unread; the last words must still arrive.
func TestLastWordsOfOneWhoDidNotListen(t *testing.T) {
	a, b := ends(t)
	if err := a.Send(Message{Stop: &Deadline{}}); err != nil {
		t.Fatal(err)
	}
	if err := b.Send(Message{Failed: &Failed{Code: 75, Message: "no"}}); err != nil {
		t.Fatal(err)
	}
	b.Close()
	m, _, err := a.Recv()
	if err != nil || m.Failed == nil || m.Failed.Code != 75 {
		t.Fatalf("Recv = %+v, %v; want Failed 75", m, err)
	}
	if _, _, err := a.Recv(); !errors.Is(err, io.EOF) {
		t.Fatalf("then %v, want io.EOF", err)
	}
	if err := a.Send(Message{Stop: &Deadline{}}); !errors.Is(err, ErrGone) {
		t.Fatalf("Send to the dead = %v, want ErrGone", err)
	}
}

func TestCloseWakesRecv(t *testing.T) {
	a, _ := ends(t)
	done := make(chan error)
	go func() {
		_, _, err := a.Recv()
		done <- err
	}()
	a.Close()
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Recv = %v, want os.ErrClosed", err)
	}
}

func TestTheLargestPacketPassesAndALargerIsRefused(t *testing.T) {
	a, b := ends(t)
	fill := func(n int) Message { return Message{Problem: &Problem{Message: strings.Repeat("x", n)}} }
	overhead := len(`{"problem":{"message":""}}`)
	if err := a.Send(fill(MaxPacket - overhead)); err != nil {
		t.Fatal(err)
	}
	m, _, err := b.Recv()
	if err != nil || len(m.Problem.Message) != MaxPacket-overhead {
		t.Fatalf("the largest packet came with %v", err)
	}
	if err := a.Send(fill(MaxPacket - overhead + 1)); !errors.Is(err, syscall.EMSGSIZE) {
		t.Fatalf("one byte more: %v, want EMSGSIZE", err)
	}
}

// A sender that outruns the receiver waits and loses nothing.
func TestASlowReceiverHoldsTheSender(t *testing.T) {
	a, b := ends(t)
	const n = 2000
	var sending sync.WaitGroup
	for range 4 {
		sending.Go(func() {
			for range n / 4 {
				if err := a.Send(Message{Problem: &Problem{Message: strings.Repeat("y", 4000)}}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range n {
		if _, _, err := b.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	sending.Wait()
}

func TestCutMakesAFlushedFit(t *testing.T) {
	f := Flushed{UnsavedCount: 5000, Reason: strings.Repeat("r", 1<<20)}
	for range 5000 {
		f.Unsaved = append(f.Unsaved, contract.Unsaved{Path: strings.Repeat("\x01", 100), Reason: "denied"})
	}
	f.Cut()
	if len(f.Unsaved) == 0 || len(f.Unsaved) == 5000 {
		t.Errorf("Cut left %d of 5000", len(f.Unsaved))
	}
	a, b := ends(t)
	if err := a.Send(Message{Flushed: &f}); err != nil {
		t.Fatal(err)
	}
	if m, _, err := b.Recv(); err != nil || m.Flushed.UnsavedCount != 5000 {
		t.Fatalf("Recv = %v", err)
	}
	short := Flushed{UnsavedCount: 1, Unsaved: []contract.Unsaved{{Path: "a", Reason: "b"}}}
	short.Cut()
	if len(short.Unsaved) != 1 {
		t.Error("Cut shortened a list that fits")
	}
}

// Inherited is tested as it is used: in a child that finds its end at FD.
func TestInherited(t *testing.T) {
	if os.Getenv("WIRE_TEST_CHILD") != "" {
		c, err := Inherited()
		if err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(3)
		}
		m, _, err := c.Recv()
		if err != nil || m.Start == nil {
			os.Exit(4)
		}
		if err := c.Send(Message{Hydrated: &Hydrated{Files: 7}}); err != nil {
			os.Exit(5)
		}
		os.Exit(0)
	}
	parent, child, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer parent.Close()
	cmd := exec.Command(os.Args[0], "-test.run=^TestInherited$")
	cmd.Env = append(os.Environ(), "WIRE_TEST_CHILD=1")
	cmd.ExtraFiles = []*os.File{child}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	child.Close()
	if err := parent.Send(Message{Start: &Start{}}); err != nil {
		t.Fatal(err)
	}
	m, _, err := parent.Recv()
	if err != nil || m.Hydrated == nil || m.Hydrated.Files != 7 {
		t.Fatalf("Recv = %+v, %v", m, err)
	}
	if _, _, err := parent.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("after the child's end: %v, want io.EOF", err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}

	// Without its socket it says what is wrong.
	bare := exec.Command(os.Args[0], "-test.run=^TestInherited$")
	bare.Env = append(os.Environ(), "WIRE_TEST_CHILD=1")
	var stderr bytes.Buffer
	bare.Stderr = &stderr
	if err := bare.Run(); err == nil || !strings.Contains(stderr.String(), "not by hand") {
		t.Errorf("without the socket: %v, %q", err, stderr.String())
	}
}
