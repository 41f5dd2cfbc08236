package logsink

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

func TestLinesArriveInOrder(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	sink := NewWriter(int(w.Fd()))
	log := New(sink, false, "info")
	log.Debug("no")
	for i := range 100 {
		log.Info("line", "event", "test", "i", i)
	}
	sink.Close(time.Minute)
	w.Close()
	lines := bufio.NewScanner(r)
	for i := range 100 {
		var line struct {
			Event string
			I     int
		}
		if !lines.Scan() || json.Unmarshal(lines.Bytes(), &line) != nil || line.I != i || line.Event != "test" {
			t.Fatalf("line %d is %q", i, lines.Text())
		}
	}
	if lines.Scan() || sink.Dropped() != 0 {
		t.Errorf("more lines: %q; dropped %d", lines.Text(), sink.Dropped())
	}
}

// A reader that has stopped reading costs lines and never time.
func TestAFullPipeStopsNobody(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	sink := NewWriter(int(w.Fd()))
	line := []byte(strings.Repeat("x", 4095) + "\n")
	const lines = 2 * queue // a pipe holds 16 of them
	for range lines {
		if _, err := sink.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	if sink.Dropped() == 0 {
		t.Error("nothing was dropped although there is no reader")
	}
	sink.Close(time.Millisecond)
	// The writer's thread ends when the reader comes back.
	go func() {
		buf := make([]byte, 1<<16)
		for {
			if _, err := r.Read(buf); err != nil {
				return
			}
		}
	}()
	sink.Close(time.Minute)
	<-sink.done
}

func TestAReaderThatIsGoneKillsNobody(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r.Close()
	// As descriptor 2 a broken pipe would end a Go program; os.File.Write does that, and a
	// plain write by SIGPIPE's default. Neither happens here.
	sink := NewWriter(int(w.Fd()))
	for range 10 {
		if _, err := sink.Write([]byte("x\n")); err != nil {
			t.Fatal(err)
		}
	}
	sink.Close(time.Minute)
}

func TestADescriptorThatSomebodyMadeNonBlocking(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	fd := int(w.Fd())
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	sink := NewWriter(fd)
	const lines = 200
	for i := range lines {
		if _, err := sink.Write([]byte(strings.Repeat(string(rune('a'+i%26)), 4095) + "\n")); err != nil {
			t.Fatal(err)
		}
	}
	got := bufio.NewScanner(r)
	for i := range lines {
		if !got.Scan() || got.Text() != strings.Repeat(string(rune('a'+i%26)), 4095) {
			t.Fatalf("line %d is wrong", i)
		}
	}
	sink.Close(time.Minute)
	w.Close()
}

func TestTextOnATerminal(t *testing.T) {
	master, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer tty.Close()
	if !IsTerminal(int(tty.Fd())) {
		t.Error("IsTerminal is wrong")
	}
	sink := NewWriter(int(tty.Fd()))
	New(sink, true, "nonsense").Info("hello", "event", "test")
	sink.Close(time.Minute)
	line, err := bufio.NewReader(master).ReadString('\n')
	if err != nil || !strings.Contains(line, "level=INFO msg=hello event=test") {
		t.Errorf("%q, %v", line, err)
	}
}
