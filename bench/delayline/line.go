// Package delayline is a wire of a given length for benchmarks: a TCP proxy that holds back what
// clients send, each byte for as long. Requests take longer by it and nothing else gets slower,
// however many are under way. It counts the requests, and the bytes that clients send.
package delayline

import (
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Line is one proxy.
type Line struct {
	requests atomic.Int64
	sent     atomic.Int64
	listener net.Listener
	to       string
	delay    time.Duration
	open     sync.Map // net.Conn
}

// New begins to listen on loopback, for the server at to.
func New(to string, delay time.Duration) (*Line, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &Line{listener: l, to: to, delay: delay}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go d.serve(c)
		}
	}()
	return d, nil
}

// Address is where it listens, as HOST:PORT.
func (d *Line) Address() string { return d.listener.Addr().String() }

// Close ends it, and all connections through it.
func (d *Line) Close() {
	d.listener.Close()
	d.open.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
}

// Delay is what it adds.
func (d *Line) Delay() time.Duration { return d.delay }

// Requests is how many have begun so far.
func (d *Line) Requests() int64 { return d.requests.Load() }

// Sent is how many bytes clients have sent so far.
func (d *Line) Sent() int64 { return d.sent.Load() }

func (d *Line) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", d.to)
	if err != nil {
		return
	}
	defer server.Close()
	d.open.Store(client, true)
	defer d.open.Delete(client)
	go func() {
		_, _ = io.Copy(client, server)
		client.Close()
	}()
	d.forward(server, client)
}

// piece is what was read at once, and when it is due.
type piece struct {
	b   *[]byte
	n   int
	due time.Time
}

var pieces = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

func (d *Line) forward(to, from net.Conn) {
	line := make(chan piece, 4096)
	go func() {
		defer close(line)
		for {
			b := pieces.Get().(*[]byte)
			n, err := from.Read(*b)
			if n > 0 {
				d.sent.Add(int64(n))
				if isRequest((*b)[:n]) {
					d.requests.Add(1)
				}
				line <- piece{b, n, time.Now().Add(d.delay)}
			}
			if err != nil {
				return
			}
		}
	}()
	for p := range line {
		time.Sleep(time.Until(p.due)) // the delay itself
		_, err := to.Write((*p.b)[:p.n])
		pieces.Put(p.b)
		if err != nil {
			from.Close() // ends the reader
		}
	}
	if c, ok := to.(*net.TCPConn); ok {
		_ = c.CloseWrite()
	}
}

// isRequest says whether a request begins here. HTTP/1.1 clients send one when the one
// before was answered, so it begins what is read.
func isRequest(b []byte) bool {
	for _, m := range []string{"GET /", "PUT /", "HEAD /", "POST /", "DELETE /"} {
		if bytes.HasPrefix(b, []byte(m)) {
			return true
		}
	}
	return false
}
