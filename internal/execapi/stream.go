package execapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
)

// Stream is a client's connection to an exec. One goroutine may read it while others send.
type Stream struct {
	conn   net.Conn
	frames *FrameReader

	Exec   Exec  // as it was when the stream began
	Offset int64 // the first byte of output that has not been read

	mu     sync.Mutex // held across writes
	credit struct {
		sync.Mutex
		cond sync.Cond
		left int
		over bool
	}
}

// ErrBroken says that a stream has ended and its exec has not, as far as is known.
var ErrBroken = errors.New("the connection to the exec is broken")

// StartAttached starts a command and attaches to it.
func (c *Client) StartAttached(ctx context.Context, s Spec) (*Stream, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("cannot encode a request: %w", err)
	}
	return c.stream(ctx, http.MethodPost, "/v1/execs", nil, b, 0)
}

// Attach attaches to an exec, at an offset of its output.
func (c *Client) Attach(ctx context.Context, id string, offset int64) (*Stream, error) {
	return c.stream(ctx, http.MethodGet, execPath(id, "/attach"), url.Values{"offset": {strconv.FormatInt(offset, 10)}}, nil, offset)
}

func (c *Client) stream(ctx context.Context, method, path string, query url.Values, body []byte, offset int64) (*Stream, error) {
	_, conn, r, err := c.ask(ctx, method, path, query, bytes.NewReader(body), Protocol)
	if err != nil {
		return nil, err
	}
	s := newStream(conn, r, offset)
	f, err := s.frames.Next()
	if err == nil && f.Type != FrameStarted {
		err = fmt.Errorf("its first frame is of type %d", f.Type)
	}
	if err == nil {
		err = f.JSON(&s.Exec)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("%w: %w", ErrBroken, err)
	}
	return s, nil
}

func newStream(conn net.Conn, r *bufio.Reader, offset int64) *Stream {
	s := &Stream{conn: conn, frames: NewFrameReader(r), Offset: offset}
	s.credit.cond.L = &s.credit
	s.credit.left = Window
	return s
}

// Event is what a stream brings: bytes of Type FrameStdout or FrameStderr, a gap, or the end.
type Event struct {
	Type  FrameType
	Data  []byte // valid until the next event
	Gap   Gap
	Final *Final
}

// Next gives the next event. After a Final there is none. ErrBroken: the stream has ended without one.
func (s *Stream) Next() (Event, error) {
	for {
		f, err := s.frames.Next()
		if err != nil {
			s.end()
			return Event{}, fmt.Errorf("%w: %w", ErrBroken, err)
		}
		e := Event{Type: f.Type, Data: f.Payload}
		switch f.Type {
		case FrameStdout, FrameStderr:
			s.Offset += int64(len(f.Payload))
			return e, nil
		case FrameGap:
			err = f.JSON(&e.Gap)
			s.Offset = e.Gap.To
		case FrameFinal:
			e.Final = new(Final)
			err = f.JSON(e.Final)
			s.end()
		case FrameCredit:
			if len(f.Payload) == 4 {
				s.grant(int(binary.BigEndian.Uint32(f.Payload)))
			}
			continue
		default:
			continue // of a later version
		}
		if err != nil {
			return e, fmt.Errorf("%w: %w", ErrBroken, err)
		}
		return e, nil
	}
}

func (s *Stream) grant(n int) {
	s.credit.Lock()
	s.credit.left = min(s.credit.left+n, Window)
	s.credit.Unlock()
	s.credit.cond.Broadcast()
}

// end wakes a Write that waits.
func (s *Stream) end() {
	s.credit.Lock()
	s.credit.over = true
	s.credit.Unlock()
	s.credit.cond.Broadcast()
}

// take waits for credit and takes up to n of it; 0: the stream has ended.
func (s *Stream) take(n int) int {
	s.credit.Lock()
	defer s.credit.Unlock()
	for s.credit.left == 0 && !s.credit.over {
		s.credit.cond.Wait()
	}
	if s.credit.over {
		return 0
	}
	n = min(n, s.credit.left)
	s.credit.left -= n
	return n
}

// Write sends standard input. It waits while the process does not read, and fails once the exec has ended or
// the stream is broken. Another goroutine must read the stream meanwhile.
func (s *Stream) Write(b []byte) (n int, err error) {
	for n < len(b) {
		m := s.take(min(len(b)-n, MaxPayload))
		if m == 0 {
			return n, io.ErrClosedPipe
		}
		if err := s.send(FrameStdin, b[n:n+m]); err != nil {
			return n, err
		}
		n += m
	}
	return n, nil
}

// CloseInput makes the process read the end of its input.
func (s *Stream) CloseInput() error { return s.send(FrameStdinEnd, nil) }

// Signal sends a signal to the exec's process group.
func (s *Stream) Signal(number int) error { return s.send(FrameSignal, []byte{byte(number)}) }

// Resize tells the terminal its size.
func (s *Stream) Resize(size Size) error {
	b, err := json.Marshal(size)
	if err != nil {
		return err
	}
	return s.send(FrameResize, b)
}

// Detach leaves an exec that goes on, a Tied one too.
func (s *Stream) Detach() error { return s.send(FrameDetach, nil) }

func (s *Stream) send(t FrameType, payload []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return WriteFrame(s.conn, t, payload)
}

// Close ends the connection.
func (s *Stream) Close() error {
	s.end()
	return s.conn.Close()
}
