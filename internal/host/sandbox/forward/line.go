package forward

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/execapi"
	"github.com/matrx/sandbox/internal/host/engine/terminal"
)

// line is the way to one port of the sandbox's.
type line struct {
	to   uint16
	tell Teller

	mu   sync.Mutex
	said string // what is wrong, as it was said
}

// Bounds on what the sandbox's end answers before the connection stands.
const (
	answerWithin = time.Minute // it may have more connections than it serves at a time
	maxAnswer    = 4 << 10
	maxReason    = 300
)

// connect asks for the port. What is wrong is said once, until a connection succeeds.
func (l *line) connect(ctx context.Context, dial func(context.Context) (net.Conn, error)) (net.Conn, io.Reader, error) {
	far, rest, err := l.ask(ctx, dial)
	if ctx.Err() == nil {
		l.note(err)
	}
	return far, rest, err
}

func (l *line) note(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != l.said {
		l.tell.Say("%s; connections are refused until that changes", text)
	}
	l.said = text
}

func (l *line) ask(ctx context.Context, dial func(context.Context) (net.Conn, error)) (net.Conn, io.Reader, error) {
	far, err := dial(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("the sandbox does not take connections at the moment: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { far.Close() })
	defer stop()
	rest, err := l.askOn(far)
	if err != nil {
		far.Close()
		return nil, nil, err
	}
	return far, rest, nil
}

func (l *line) askOn(far net.Conn) (io.Reader, error) {
	fail := func(err error) (io.Reader, error) {
		return nil, fmt.Errorf("the sandbox does not answer: %s", terminal.Plain(err.Error(), maxReason))
	}
	if err := far.SetDeadline(time.Now().Add(answerWithin)); err != nil {
		return fail(err)
	}
	if _, err := fmt.Fprintf(far, "CONNECT %s:%d HTTP/1.1\r\nHost: %[1]s:%[2]d\r\n\r\n", contract.ForwardHost, l.to); err != nil {
		return fail(err)
	}
	limit := &io.LimitedReader{R: far, N: maxAnswer}
	r := bufio.NewReaderSize(limit, maxAnswer)
	res, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return fail(err)
	}
	if res.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
		res.Body.Close()
		var p execapi.Problem // of an exec server; the storage process says it in words
		if json.Unmarshal(why, &p) == nil && p.Message != "" {
			why = []byte(p.Message)
		}
		return nil, errors.New(terminal.Plain(string(why), maxReason))
	}
	limit.N = math.MaxInt64
	return r, far.SetDeadline(time.Time{})
}
