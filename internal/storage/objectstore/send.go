package objectstore

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/matrx/sandbox/internal/storage/objectstore/credentials"
	"github.com/matrx/sandbox/internal/storage/objectstore/protocol"
)

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
func (s *Store) do(ctx context.Context, r *request) (*response, error) {
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
func (s *Store) attempt(ctx context.Context, r *request) (_ *response, next outcome, wait time.Duration, _ error) {
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
	w := newWatch(ctx, s.options.Stall, r.verb.slow())
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
		if body != nil && body.err != nil { // the local file, not the network
			return nil, final, 0, s.fail(r, nil, body.err)
		}
		r.ambiguous = r.ambiguous || !neverSent(err)
		return nil, s.networkOutcome(err), 0, s.network(r, err)
	}
	s.answered.Store(true)
	s.sawDate(resp.Header)
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

// maxDocument bounds an answer that is no object: a page of a listing is well below 3 MB.
const maxDocument = 16 << 20

// response is a 2xx. Close lets the connection go, and waits until nothing reads the
// request's body any more, so that its owner may change it.
type response struct {
	*http.Response
	watch *watch
	sent  *sendBody
}

func (r *response) Close() error {
	err := r.Body.Close()
	if r.sent != nil {
		r.sent.wait()
	}
	r.watch.stop()
	return err
}

// Read reads the body; each byte that comes shows that the connection lives.
func (r *response) Read(p []byte) (int, error) {
	n, err := r.Body.Read(p)
	if err == nil {
		r.watch.progress()
	} else if !errors.Is(err, io.EOF) {
		err = r.watch.explain(err)
	}
	return n, err
}

// all reads a document to its end and closes.
func (r *response) all(limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit))
	return b, errors.Join(err, r.Close())
}

// fail is an Error of r.
func (s *Store) fail(r *request, kind, err error) *Error {
	key := r.key
	if r.subject != "" {
		key = r.subject
	}
	return &Error{Op: verbOps[r.verb], Bucket: s.options.S3.Bucket, Key: key, Attempts: r.attempts, kind: kind, err: err}
}

// interrupted is the error of a call whose context ended: why it ended, and what was in the way until then.
func (s *Store) interrupted(ctx context.Context, r *request, last error) error {
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

// network is an attempt without a response.
func (s *Store) network(r *request, err error) *Error {
	_, noName := errors.AsType[*net.DNSError](err)
	switch next := s.networkOutcome(err); {
	case noName && next == few:
		e := s.fail(r, ErrEndpoint, err)
		e.Hint = s.nameHint()
		return e
	case next == final:
		e := s.fail(r, ErrEndpoint, err)
		e.Hint = fmt.Sprintf("check S3_ENDPOINT (%s), and the certificates of the system or AWS_CA_BUNDLE%s", s.endpoint.Name, s.pathStyleHint())
		return e
	}
	e := s.fail(r, ErrUnavailable, err)
	e.Hint = fmt.Sprintf("check that %s can be reached", s.endpoint.Name)
	return e
}

// nameHint says what mends a name that does not resolve.
func (s *Store) nameHint() string {
	if s.endpoint.AWS {
		return fmt.Sprintf("check S3_REGION=%q and the resolver of this machine", s.options.S3.Region)
	}
	return fmt.Sprintf("check S3_ENDPOINT (%s)%s", s.endpoint.Name, s.pathStyleHint())
}

// pathStyleHint is what a store that keeps no host name for each bucket needs.
func (s *Store) pathStyleHint() string {
	if s.endpoint.AWS || s.endpoint.Base != "/" {
		return ""
	}
	return fmt.Sprintf(", or set S3_FORCE_PATH_STYLE=1 if the store has no host name %s", s.endpoint.Host)
}

// networkOutcome: what the other end is does not change by asking again, and neither does a name that
// does not exist, as long as the store has never answered; all else may.
func (s *Store) networkOutcome(err error) outcome {
	var (
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		record  tls.RecordHeaderError
		name    *net.DNSError
	)
	if errors.As(err, &unknown) || errors.As(err, &host) || errors.As(err, &invalid) || errors.As(err, &record) {
		return final
	}
	if errors.As(err, &name) && name.IsNotFound && !s.answered.Load() {
		return few
	}
	return again
}
