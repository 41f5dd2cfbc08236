package execd

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/matrx/sandbox/internal/execapi"
)

func wantsStream(r *http.Request) bool { return r.Header.Get("Upgrade") == execapi.Protocol }

func (s *Server) attachExec(w http.ResponseWriter, r *http.Request) (any, error) {
	x, err := s.table.find(r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	offset, err := strconv.ParseInt(r.URL.Query().Get("offset"), 10, 64)
	if err != nil || offset < 0 || !wantsStream(r) {
		return nil, execapi.ErrInvalid.Because("to attach takes an offset and an upgrade to %s", execapi.Protocol)
	}
	return nil, s.attach(w, x, x.out.read(offset), false) // before the client knows of the exec: from here on nothing is dropped
}

// upgrade takes the connection over and agrees to the protocol.
func upgrade(w http.ResponseWriter) (net.Conn, *bufio.Reader, error) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, execapi.ErrFailed.Because("cannot take the connection over: %v", err)
	}
	const agreed = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + execapi.Protocol + "\r\n\r\n"
	if _, err := io.WriteString(conn, agreed); err != nil {
		conn.Close()
		return nil, nil, nil //nolint:nilerr // the client is gone, and needs no answer
	}
	return conn, rw.Reader, nil
}

// stream is a client that is attached to an exec.
type stream struct {
	x    *execution
	conn net.Conn
	mu   sync.Mutex // held across writes
}

// lastWords is how long to read what a client has said that does not read.
const lastWords = time.Second

// attach joins a client to an exec by a reader of its output, until it has the Final or is gone.
func (s *Server) attach(w http.ResponseWriter, x *execution, reader *reader, tied bool) error {
	conn, from, err := upgrade(w)
	if conn == nil {
		reader.close()
		x.untie(tied)
		return err
	}
	s.streams.add(1)
	defer s.streams.add(-1)
	defer context.AfterFunc(s.ctx, func() { conn.Close() })()
	st := &stream{x: x, conn: conn}
	left := make(chan bool, 1)
	go func() {
		detached := st.receive(execapi.NewFrameReader(from))
		left <- detached
		reader.close() // wakes send
		conn.Close()
	}()
	sent := st.send(reader)
	reader.close()
	if !sent { // the client reads no more; it may have said before that it detaches
		_ = conn.SetReadDeadline(time.Now().Add(lastWords))
		x.untie(!<-left && tied)
		return nil
	}
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // what is under way arrives
	}
	conn.Close()
	x.untie(tied && !<-left)
	return nil
}

// untie ends an exec whose client is gone, beside the request that was its.
func (x *execution) untie(tied bool) {
	if tied && x.running() {
		go x.hangUp()
	}
}

// send sends what there is, until the Final is sent or the client is gone. It is false when a write has failed.
func (st *stream) send(r *reader) bool {
	if st.writeJSON(execapi.FrameStarted, st.x.info()) != nil {
		return false
	}
	for {
		var err error
		switch p := r.next(); {
		case p.final != nil:
			return st.writeJSON(execapi.FrameFinal, p.final) == nil
		case p.gap.To > 0:
			err = st.writeJSON(execapi.FrameGap, p.gap)
		case p.data != nil:
			if err = st.write(p.stream, p.data); err == nil {
				r.had(len(p.data))
			}
		default:
			return true
		}
		if err != nil {
			return false
		}
	}
}

func (st *stream) write(t execapi.FrameType, b []byte) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	return execapi.WriteFrame(st.conn, t, b)
}

func (st *stream) writeJSON(t execapi.FrameType, v any) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	return execapi.WriteJSON(st.conn, t, v)
}

// receive does what the client asks for, until it is gone, or detached.
func (st *stream) receive(frames *execapi.FrameReader) (detached bool) {
	used := &window{st: st}
	for {
		f, err := frames.Next()
		if err != nil {
			return false
		}
		switch f.Type {
		case execapi.FrameStdin:
			if !used.take(len(f.Payload)) {
				return false
			}
			st.x.in.add(f.Payload, used)
		case execapi.FrameStdinEnd:
			st.x.in.end()
		case execapi.FrameSignal:
			if len(f.Payload) == 1 && f.Payload[0] >= 1 && f.Payload[0] <= 64 {
				_ = st.x.signal(syscall.Signal(f.Payload[0]))
			}
		case execapi.FrameResize:
			var size execapi.Size
			if st.x.tty != nil && f.JSON(&size) == nil {
				_ = st.x.tty.resize(size)
			}
		case execapi.FrameDetach:
			return true
		}
	}
}

// window is the credit of one client.
type window struct {
	st *stream

	mu      sync.Mutex
	used    int
	owed    int  // credit that the client has not been told of
	telling bool // a goroutine tells it
}

// take takes n bytes of it; false: the client sends what it has no credit for.
func (w *window) take(n int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.used += n
	return w.used <= execapi.Window
}

// back gives the client credit for n more bytes. What calls it writes to the process, and does not wait for a
// client that does not read.
func (w *window) back(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.used -= n
	w.owed += n
	if !w.telling {
		w.telling = true
		go w.tell()
	}
}

func (w *window) tell() {
	for {
		w.mu.Lock()
		n := w.owed
		w.owed = 0
		w.telling = n > 0
		w.mu.Unlock()
		if n == 0 || w.st.write(execapi.FrameCredit, binary.BigEndian.AppendUint32(nil, uint32(n))) != nil {
			return
		}
	}
}
