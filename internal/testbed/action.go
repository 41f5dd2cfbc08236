package testbed

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Action is what is done to a request.
type Action interface{ arrange(*exchange) }

type action func(*exchange)

func (a action) arrange(x *exchange) { a(x) }

// Refuse answers with an S3 error in place of the server: Refuse(503, "SlowDown").
func Refuse(status int, code string) Action { return RefuseWith(status, code, nil) }

// RefuseWith is Refuse with header fields, "Retry-After" for one.
func RefuseWith(status int, code string, header map[string]string) Action {
	return Answer(status, header, fmt.Sprintf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>the proxy says so</Message><RequestId>proxy</RequestId></Error>", code))
}

// Answer answers in place of the server.
func Answer(status int, header map[string]string, body string) Action {
	return action(func(x *exchange) {
		x.answer = func(w http.ResponseWriter) {
			for k, v := range header {
				w.Header().Set(k, v)
			}
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			w.WriteHeader(status)
			if x.in.Method != http.MethodHead {
				_, _ = w.Write([]byte(body))
			}
		}
	})
}

// LoseAnswer lets the request arrive and be answered, and resets the connection in place
// of the answer.
func LoseAnswer() Action { return action(func(x *exchange) { x.lose = true }) }

// ResetBefore resets the connection in place of sending the request on.
func ResetBefore() Action { return action(func(x *exchange) { x.reset(); x.over = true }) }

// ResetRequest resets the connection after n bytes of the request's body.
func ResetRequest(n int64) Action { return action(func(x *exchange) { x.cutRequest = n }) }

// ResetResponse resets the connection after n bytes of the response's body.
func ResetResponse(n int64) Action {
	return action(func(x *exchange) { x.cutResponse, x.hard = n, true })
}

// Truncate ends the response after n bytes of its body, though more were announced.
func Truncate(n int64) Action { return action(func(x *exchange) { x.cutResponse = n }) }

// CorruptResponse changes the byte at offset n of the response's body.
func CorruptResponse(n int64) Action { return action(func(x *exchange) { x.flipResponse = n }) }

// CorruptRequest changes the byte at offset n of the request's body.
func CorruptRequest(n int64) Action { return action(func(x *exchange) { x.flipRequest = n }) }

// SetResponseHeader changes a header field of the response; an empty value removes it.
func SetResponseHeader(name, value string) Action {
	return action(func(x *exchange) {
		x.edit = append(x.edit, func(h http.Header) {
			h.Del(name)
			if value != "" {
				h.Set(name, value)
			}
		})
	})
}

// StripConditions makes of the server one that ignores If-Match and If-None-Match, those on
// the source of a copy included.
func StripConditions() Action {
	return StripHeaders("If-Match", "If-None-Match", "X-Amz-Copy-Source-If-Match", "X-Amz-Copy-Source-If-None-Match")
}

// StripHeaders takes header fields out of requests, and signs them anew.
func StripHeaders(names ...string) Action {
	return action(func(x *exchange) {
		for _, n := range names {
			if x.in.Header.Get(n) != "" {
				x.in.Header.Del(n)
				x.resign = true
			}
		}
	})
}

// Stall keeps the request without an answer until its client goes away.
func Stall() Action {
	return action(func(x *exchange) {
		x.answer = func(http.ResponseWriter) { <-x.in.Context().Done(); x.reset() }
	})
}

// StallResponse stops after n bytes of the response's body until the client goes away.
func StallResponse(n int64) Action {
	return action(func(x *exchange) { x.cutResponse, x.stall = n, true })
}

// Slow adds latency to the requests that meet it.
func Slow(d time.Duration) Action {
	return action(func(x *exchange) {
		if !pauseFor(x.in.Context(), d) {
			x.reset()
			x.over = true
		}
	})
}

// Gate holds requests, before or after the server has seen them, until it is opened. A
// client that goes away is held no longer, and its request goes no further.
type Gate struct {
	afterwards bool

	arrived chan struct{} // gets one value for each request held
	open    chan struct{}
	once    sync.Once
}

// Hold makes a Gate in front of the server.
func Hold() *Gate { return &Gate{arrived: make(chan struct{}, 1<<16), open: make(chan struct{})} }

// HoldAnswer makes a Gate behind the server: the request has had its effect, and the
// answer waits.
func HoldAnswer() *Gate {
	g := Hold()
	g.afterwards = true
	return g
}

// Arrived gets a value for each request that is held.
func (g *Gate) Arrived() <-chan struct{} { return g.arrived }

// WaitArrived returns when n more requests are held; false when ctx ended first.
func (g *Gate) WaitArrived(ctx context.Context, n int) bool {
	for range n {
		select {
		case <-g.arrived:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// Open lets all go that are held, and those that come.
func (g *Gate) Open() { g.once.Do(func() { close(g.open) }) }

func (g *Gate) arrange(x *exchange) {
	if g.afterwards {
		x.beforeAnswer = append(x.beforeAnswer, g.hold)
		return
	}
	x.slurp()
	if !g.hold(x) {
		x.reset()
		x.over = true
	}
}

func (g *Gate) hold(x *exchange) bool {
	g.arrived <- struct{}{}
	select {
	case <-g.open:
		return true
	case <-x.in.Context().Done():
		return false
	}
}
