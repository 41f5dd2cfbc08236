package objectstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/matrx/sandbox/internal/storage/objectstore/credentials"
	"github.com/matrx/sandbox/internal/storage/objectstore/protocol"
)

// sender sends requests, signed, until they succeed or fail for good. It knows nothing of objects.
type sender struct {
	options   Options
	log       *slog.Logger
	endpoint  protocol.Endpoint
	transport http.RoundTripper
	closeIdle func() // closes the connections that wait for a request
	keys      *credentials.Keyring
	signer    protocol.Signer
	skew      atomic.Int64  // what to add to the local clock, in ns
	answered  atomic.Bool   // the store ever did
	notice    time.Duration // how long a call goes on trying in silence
	counts    [verbs]atomic.Int64
	away      away
	date      atomic.Int64                // the server's time, in seconds since the epoch, of the newest response
	told      atomic.Pointer[Conditional] // what the host says of the store, see hear
}

// outcome is what a failed attempt means for the next one.
type outcome int

const (
	final     outcome = iota // the same request would fail again
	again                    // passing: after a pause
	throttled                // the same, and the store asks for a longer one
	atOnce                   // what was wrong has been put right
	few                      // may be chance: a few attempts, then it is final
)

// fewAttempts is how often a request is made that few is the outcome of: a body that arrived
// otherwise than it was sent, a key in whose way something is.
const fewAttempts = 3

// do sends a request until it succeeds, fails for good, or the time is up. The response is
// a 2xx, whose body the caller closes.
func (s *sender) do(ctx context.Context, r *request) (*response, error) {
	pause := newPause(s.deadline(ctx))
	notice := time.Now().Add(s.notice)
	var cause error // of the last attempt that the end of ctx did not cut off
	for n := 1; ; n++ {
		resp, next, wait, err := s.attempt(ctx, r)
		if err == nil || ctx.Err() == nil {
			s.attempted(next, err)
		}
		if err == nil {
			return resp, nil
		}
		if cutOff(ctx, err) {
			return nil, s.interrupted(ctx, r, cmp.Or(cause, err))
		}
		cause = err
		if next == final || next == few && (r.once || n >= fewAttempts) || next == atOnce && n >= 8 {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, s.interrupted(ctx, r, err)
		}
		if next == atOnce {
			continue
		}
		level := slog.LevelDebug
		if now := time.Now(); now.After(notice) {
			level, notice = slog.LevelWarn, now.Add(noticeEvery)
		}
		s.log.LogAttrs(ctx, level, "trying again", slog.String("event", "s3_retry"),
			slog.String("verb", verbNames[r.verb]), slog.String("key", r.key), slog.Int("attempt", n), slog.String("error", err.Error()))
		if !pause.wait(ctx, next == throttled, wait) {
			if ctx.Err() != nil {
				return nil, s.interrupted(ctx, r, err)
			}
			return nil, err
		}
	}
}

// cutOff says that the end of ctx ended an attempt: its error then tells when, and the one before tells why. A
// dial has ctx's deadline for its own, and can notice it before ctx does.
func cutOff(ctx context.Context, err error) bool {
	if e, ok := errors.AsType[*Error](err); ok && e.Status != 0 {
		return false // an answer
	}
	if ctx.Err() != nil {
		return errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx))
	}
	end, ok := ctx.Deadline()
	return ok && errors.Is(err, context.DeadlineExceeded) && !time.Now().Before(end)
}

// A call that goes on trying says so in the log after noticeAfter, and from then on every noticeEvery.
const (
	noticeAfter = 3 * time.Second
	noticeEvery = 30 * time.Second
)

// attempt sends a request once.
func (s *sender) attempt(ctx context.Context, r *request) (_ *response, next outcome, wait time.Duration, _ error) {
	creds, err := s.keys.Get(ctx)
	if err != nil {
		e := s.fail(r, ErrBadCredentials, err)
		if src, ok := errors.AsType[*credentials.Error](err); ok {
			e.Hint = src.Hint
		}
		return nil, credentialsOutcome(err), 0, e
	}
	if ctx.Err() != nil { // asked of the caller's own context: see sendBody.Read
		return nil, final, 0, s.interrupted(ctx, r, nil)
	}
	w := newWatch(ctx, r.stallLimit(s.options.Stall), s.closeIdle)
	var body *sendBody
	var sent io.ReadCloser
	if r.body != nil && r.size > 0 {
		body = newSendBody(r.body, r.size, w)
		sent = body
	}
	now := s.now()
	r.attempts++
	s.counts[r.verb].Add(1)
	resp, err := s.transport.RoundTrip(s.build(w.ctx, r, creds, now, sent))
	if err != nil {
		if body != nil {
			body.wait()
		}
		err = w.explain(err)
		w.stop()
		if errors.Is(err, errStalled) {
			r.stalls++
		} else if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			s.closeIdle() // for the reason that a stall has
		}
		if body != nil && body.err != nil { // the local file, not the network
			return nil, final, 0, s.fail(r, nil, body.err)
		}
		r.ambiguous = r.ambiguous || !neverSent(err)
		return nil, s.networkOutcome(err), 0, s.network(r, err)
	}
	s.answered.Store(true)
	s.sawDate(resp.Header)
	s.hear(resp.Header)
	answer := &response{Response: resp, watch: w, sent: body}
	success := resp.StatusCode >= 200 && resp.StatusCode < 300
	if success && r.verb == verbGet {
		return answer, final, 0, nil
	}
	doc, err := answer.all(maxDocument)
	if resp.StatusCode >= 500 {
		r.ambiguous = true
	}
	switch {
	case success && r.document == nil:
		return answer, final, 0, nil // what the header says counts
	case err != nil:
		r.ambiguous = true
		return nil, again, 0, s.network(r, fmt.Errorf("HTTP %d, and then: %w", resp.StatusCode, err))
	case success:
		// Copy and Complete answer 200 before they know how it ends ("CopyObject", "CompleteMultipartUpload").
		if _, isError := protocol.ParseRefusal(doc); !isError {
			if err := r.document(doc); err != nil {
				r.ambiguous = true
				return nil, again, 0, s.network(r, err)
			}
			return answer, final, 0, nil
		}
		resp.StatusCode = http.StatusInternalServerError
		r.ambiguous = true // it went on after the status was sent: how far, the error does not say
	}
	e, next, wait := s.refusal(ctx, r, resp, doc, creds, now)
	return nil, next, wait, e
}

// credentialsOutcome is what a source of credentials that cannot be read means for the next attempt.
func credentialsOutcome(err error) outcome {
	src, ok := errors.AsType[*credentials.Error](err)
	switch {
	case !ok || src.Outlook == credentials.Lasts:
		return final
	case src.Outlook == credentials.MayPass:
		return few
	}
	return again
}

// neverSent tells that there was no connection that a request could have gone over.
func neverSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// fail is an Error of r.
func (s *sender) fail(r *request, kind, err error) *Error {
	key := r.key
	if r.subject != "" {
		key = r.subject
	}
	return &Error{Op: verbOps[r.verb], Bucket: s.options.S3.Bucket, Key: key, Attempts: r.attempts, kind: kind, err: err}
}

// interrupted is the error of a call whose context ended: why it ended, and what was in the way until then.
func (s *sender) interrupted(ctx context.Context, r *request, last error) error {
	e := s.fail(r, ErrUnavailable, nil)
	if errors.As(last, &e) {
		c := *e
		e = &c
	}
	cause := context.Cause(ctx)
	if e.err == nil || !errors.Is(e.err, cause) {
		e.err = join(cause, e.err)
	}
	if !errors.Is(cause, ctx.Err()) {
		e.err = join(e.err, ctx.Err())
	}
	return e
}

// join is errors.Join on one line.
func join(a, b error) error {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return fmt.Errorf("%w; %w", a, b)
}
