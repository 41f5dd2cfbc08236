package main

import (
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// delayLine is a TCP proxy that holds back what clients send, each byte for as long, so
// that requests take longer and nothing gets slower: a wire, not a server. It counts
// requests.
type delayLine struct {
	listener net.Listener
	to       string
	delay    time.Duration
	requests atomic.Int64
	open     sync.Map // net.Conn
}

func newDelayLine(to string, delay time.Duration) (*delayLine, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &delayLine{listener: l, to: to, delay: delay}
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

func (d *delayLine) address() string { return d.listener.Addr().String() }

func (d *delayLine) close() {
	d.listener.Close()
	d.open.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
}

func (d *delayLine) serve(client net.Conn) {
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

func (d *delayLine) forward(to, from net.Conn) {
	line := make(chan piece, 4096)
	go func() {
		defer close(line)
		for {
			b := pieces.Get().(*[]byte)
			n, err := from.Read(*b)
			if n > 0 {
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
		time.Sleep(time.Until(p.due))
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
