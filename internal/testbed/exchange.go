package testbed

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"
)

// exchange is one request on its way through the proxy, with what the faults have arranged.
type exchange struct {
	proxy *FaultProxy
	w     http.ResponseWriter
	in    *http.Request
	req   *Request

	over   bool // nothing more is to be done
	resign bool
	lose   bool
	hard   bool // cut by a reset
	stall  bool // not cut, but left hanging

	answer       func(http.ResponseWriter) // in place of the server
	beforeAnswer []func(*exchange) bool
	edit         []func(http.Header)
	rewrite      func(body []byte) []byte // of the response, of the same length

	cutRequest, cutResponse   int64 // offset, 0: not; after 0 bytes is what ResetBefore and LoseAnswer do
	flipRequest, flipResponse int64 // offset; -1: none
}

func (x *exchange) run() {
	if x.over {
		return
	}
	if x.answer != nil {
		// The body is read first, or the client would find a reset where the answer is.
		_, _ = io.Copy(io.Discard, x.in.Body)
		x.answer(x.w)
		return
	}
	body := io.Reader(x.in.Body)
	if x.flipRequest >= 0 {
		body = &flipper{r: body, at: x.flipRequest}
	}
	if x.cutRequest > 0 {
		body = io.MultiReader(io.LimitReader(body, x.cutRequest), errReader{io.ErrUnexpectedEOF})
	}
	resp, err := x.proxy.forward(x.in.Context(), x.in, x.in.Header, body, x.resign)
	if err != nil { // the server is away, or the client, or we have cut the body
		x.reset()
		return
	}
	defer resp.Body.Close()
	for _, f := range x.beforeAnswer {
		if !f(x) {
			x.reset()
			return
		}
	}
	if x.lose {
		_, _ = io.Copy(io.Discard, resp.Body)
		x.reset()
		return
	}
	x.respond(resp)
}

// slurp reads the body of the request ahead. Only then does the server notice that the
// client has gone away.
func (x *exchange) slurp() {
	b, err := io.ReadAll(x.in.Body)
	x.in.Body = io.NopCloser(io.MultiReader(bytes.NewReader(b), errReader{err}))
}

// errReader is the end of a body that was read ahead.
type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	return 0, io.EOF
}

func (x *exchange) respond(resp *http.Response) {
	h := x.w.Header()
	for k, v := range resp.Header {
		h[k] = v
	}
	if h["Date"] == nil {
		h["Date"] = nil // the server sent none, so neither do we
	}
	if resp.ContentLength >= 0 {
		h.Set("Content-Length", strconv.FormatInt(resp.ContentLength, 10))
	}
	for _, e := range x.edit {
		e(h)
	}
	x.w.WriteHeader(resp.StatusCode)
	if x.in.Method == http.MethodHead {
		return
	}
	body := io.Reader(resp.Body)
	if x.rewrite != nil {
		b, err := io.ReadAll(body)
		body = io.MultiReader(bytes.NewReader(x.rewrite(b)), errReader{err})
	}
	if x.flipResponse >= 0 {
		body = &flipper{r: body, at: x.flipResponse}
	}
	if x.cutResponse > 0 {
		body = io.LimitReader(body, x.cutResponse)
	}
	n, err := io.Copy(x.w, body)
	switch {
	case err != nil:
		x.reset()
	case x.cutResponse > 0 && n == x.cutResponse && n < resp.ContentLength:
		_ = http.NewResponseController(x.w).Flush()
		if x.stall {
			<-x.in.Context().Done()
		}
		if x.hard {
			x.reset()
		} else {
			x.close(-1)
		}
	}
}

// reset ends the client's connection with an RST (socket(7), SO_LINGER), as a
// router or a load balancer does.
func (x *exchange) reset() { x.close(0) }

func (x *exchange) close(linger int) {
	conn, _, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		return // closed already: by Away
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(linger)
	}
	_ = conn.Close()
}

// flipper changes one byte.
type flipper struct {
	r   io.Reader
	at  int64
	pos int64
}

func (f *flipper) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if i := f.at - f.pos; i >= 0 && i < int64(n) {
		p[i] ^= 0x01
	}
	f.pos += int64(n)
	return n, err
}
