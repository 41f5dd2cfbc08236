package objectstore

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/storage/objectstore/credentials"
	"github.com/matrx/sandbox/internal/wire"
)

// endsInRead is a source that ends a context while it is read for the nth time.
type endsInRead struct {
	credentials.Source
	left int
	end  func()
	err  error
}

func (s *endsInRead) Read(ctx context.Context) (credentials.Credentials, error) {
	if s.left--; s.left == 0 {
		s.end()
		if s.err != nil {
			return credentials.Credentials{}, s.err
		}
	}
	return s.Source.Read(ctx)
}

// An interrupted call says what was in the way before, wherever in an attempt its time ended.
func TestInterruptedCallSaysWhatWasInTheWay(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	for name, arrange := range map[string]func(s *Store, end func()){
		"while it waits for an answer": func(s *Store, end func()) {
			n := 0
			s.transport = roundTripper(func(r *http.Request) (*http.Response, error) {
				if n++; n < 2 {
					return nil, refused
				}
				end()
				<-r.Context().Done()
				return nil, r.Context().Err()
			})
		},
		"before the request is sent": func(s *Store, end func()) {
			s.keys = credentials.NewKeyring(&endsInRead{Source: fresh{}, left: 2, end: end}, s.now)
		},
		"while the credentials are read": func(s *Store, end func()) {
			s.keys = credentials.NewKeyring(&endsInRead{Source: fresh{}, left: 2, end: end, err: context.Canceled}, s.now)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, config.S3{Bucket: "bbb", Endpoint: "https://s3.example.org"}, wire.Credentials{Env: someKeys})
			s.transport = roundTripper(func(*http.Request) (*http.Response, error) { return nil, refused })
			ctx, cancel := context.WithCancelCause(t.Context())
			over := errors.New("the time is over")
			arrange(s, func() { cancel(over) })
			err := s.Check(ctx, "")
			wantKind(t, err, ErrUnavailable, "connection refused", "the time is over")
			if !errors.Is(err, over) || !errors.Is(err, context.Canceled) {
				t.Errorf("%v does not wrap the end of its context", err)
			}
		})
	}
}

// An answer that has come counts, though the time ended while it came.
func TestAnswerCountsThoughTheTimeIsOver(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sent := b.store.transport
	b.store.transport = roundTripper(func(r *http.Request) (*http.Response, error) {
		resp, err := sent.RoundTrip(r.WithContext(context.WithoutCancel(r.Context())))
		cancel()
		return resp, err
	})
	_, err := b.store.Head(ctx, "nothing")
	wantKind(t, err, ErrNotFound)
	if errors.Is(err, context.Canceled) {
		t.Errorf("%v is said to be interrupted", err)
	}
}

// fresh is a source that is asked for each request.
type fresh struct{}

func (fresh) String() string { return "a source" }
func (fresh) Read(context.Context) (credentials.Credentials, error) {
	return credentials.Credentials{AccessKey: "a", Secret: "b", Expires: time.Unix(1, 0)}, nil
}
