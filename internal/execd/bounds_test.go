package execd

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/execapi"
)

// TestManyExecsAtOnce: all are attached to and run at the same time, one more than may is refused, and each is ended.
func TestManyExecsAtOnce(t *testing.T) {
	s := newSandbox(t)
	var streams []*execapi.Stream
	for range execapi.MaxRunning {
		st, err := s.StartAttached(t.Context(), sh("echo up; exec sleep 1000"))
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		streams = append(streams, st)
	}
	for _, st := range streams {
		await(t, st, "up")
	}
	if _, err := s.Start(t.Context(), execapi.Spec{Args: []string{"true"}}); !errors.Is(err, execapi.ErrTooMany) {
		t.Errorf("one more: %v", err)
	}
	var removed sync.WaitGroup
	for _, st := range streams {
		removed.Go(func() {
			if err := s.Remove(t.Context(), st.Exec.ID); err != nil {
				t.Error(err)
			}
		})
	}
	removed.Wait()
	for _, st := range streams {
		if got, err := collect(st); err != nil || got.final.Reason != execapi.Stopped {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	if got := s.run(execapi.Spec{Args: []string{"true"}}); got.final.Code != 0 {
		t.Errorf("the next one: %+v", got)
	}
}

// TestClientThatBreaksTheProtocolIsCutOff, and the exec goes on.
func TestClientThatBreaksTheProtocolIsCutOff(t *testing.T) {
	s := newSandbox(t)
	spec := execapi.Spec{Args: []string{"sleep", "1000"}, ID: "x", Stdin: true}
	if _, err := s.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	frame := string([]byte{byte(execapi.FrameStdin), 0, 0x80, 0}) + strings.Repeat("x", 0x8000)
	for name, sent := range map[string]string{
		"more input than it has credit for": strings.Repeat(frame, 9),
		"a frame that is too long":          string([]byte{byte(execapi.FrameStdin), 0xff, 0xff, 0xff}),
	} {
		c, err := net.Dial("unix", s.path)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(patience))
		fmt.Fprintf(c, "GET /v1/execs/x/attach?offset=0 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", execapi.Protocol)
		r := bufio.NewReader(c)
		res, err := http.ReadResponse(r, nil)
		if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
			t.Fatal(res, err)
		}
		go io.WriteString(c, sent)
		if _, err := io.Copy(io.Discard, r); err != nil && !strings.Contains(err.Error(), "reset") { // until it is cut off
			t.Errorf("%s: %v", name, err)
		}
		c.Close()
	}
	if x, err := s.Get(t.Context(), "x"); err != nil || x.Final != nil {
		t.Errorf("%+v, %v", x, err)
	}
	if err := s.Remove(t.Context(), "x"); err != nil {
		t.Error(err)
	}
}

// What is no request is refused, and the next client is served.
func TestRequestsThatAreWrong(t *testing.T) {
	s := newSandbox(t)
	for _, sent := range []string{
		"\x00\x01\x02\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /v1/execs/../files/stat HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /v1/execs HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{\"a\":",
		"POST /v1/execs HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n{\"args\":[\"" + strings.Repeat("x", execapi.MaxRequest) + "\"]}",
		"POST /v1/execs/none/signal HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
		"GET /v1/files/stat HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 2*maxHeader) + "\r\n\r\n",
	} {
		c, err := net.Dial("unix", s.path)
		if err != nil {
			t.Fatal(err)
		}
		go io.WriteString(c, sent)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || res.StatusCode < 300 {
			t.Errorf("%.40q: %+v, %v", sent, res, err)
		}
		c.Close()
	}
	if got := s.run(execapi.Spec{Args: []string{"true"}}); got.final.Code != 0 {
		t.Errorf("the next one: %+v", got)
	}
}
