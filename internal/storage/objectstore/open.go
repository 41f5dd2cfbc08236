package objectstore

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/storage/objectstore/credentials"
	"github.com/matrx/sandbox/internal/storage/objectstore/protocol"
	"github.com/matrx/sandbox/internal/wire"
)

// Options say which bucket, and as whom.
type Options struct {
	S3          config.S3
	Credentials wire.Credentials
	Log         *slog.Logger // nil: silent

	// Patience is how long a call goes on trying what is passing when its context has
	// no deadline; 60 s.
	Patience time.Duration
	// Stall is how long a connection may move nothing before it is given up and the
	// request sent anew, with twice the time, at most eight times; 30 s. What a server does by itself
	// (Copy, Complete) may take twenty times as long.
	Stall time.Duration
	// PartSize is the size of the parts of a multipart upload and of the ranges of a
	// Download, in bytes; at least 5 MiB; 16 MiB. What is smaller goes in one request.
	PartSize int64
	// Parts is how many of them one Put or Download has under way; 8.
	Parts int
}

func (o *Options) defaults() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Patience == 0 {
		o.Patience = 60 * time.Second
	}
	if o.Stall == 0 {
		o.Stall = 30 * time.Second
	}
	if o.PartSize == 0 {
		o.PartSize = 16 << 20
	}
	o.PartSize = max(o.PartSize, minPart)
	if o.Parts == 0 {
		o.Parts = 8
	}
	if o.S3.Region == "" {
		o.S3.Region = "us-east-1"
	}
}

// Store is one bucket. Its methods may be called from many goroutines.
type Store struct {
	*sender
	idle        []interface{ CloseIdleConnections() }
	conditional atomic.Pointer[Conditional]
	dialect     dialect
	noCompose   atomic.Bool // the store does not copy parts
	backslashes backslashes
}

// Open makes a Store. It sends nothing to the store: Check does that. Credentials that
// cannot be read, and an endpoint that is none, are errors here.
func Open(ctx context.Context, o Options) (*Store, error) {
	o.defaults()
	if o.S3.Bucket == "" {
		return nil, fmt.Errorf("S3_BUCKET is empty: there is no storage to open")
	}
	e, err := protocol.NewEndpoint(o.S3, variant(o.Credentials.Env))
	if err != nil {
		return nil, err
	}
	roots, err := rootCAs(o.Credentials.Env["AWS_CA_BUNDLE"])
	if err != nil {
		return nil, err
	}
	t := newTransport(e, roots)
	roles := newServiceTransport(roots)
	s := &Store{
		sender: &sender{options: o, log: o.Log, endpoint: e, transport: t, closeIdle: t.CloseIdleConnections, notice: noticeAfter, signer: protocol.Signer{Region: o.S3.Region}},
		idle:   []interface{ CloseIdleConnections() }{t, roles},
	}
	s.backslashes.trial = make(chan struct{}, 1)
	s.conditional.Store(&Conditional{Put: true, Delete: true, Copy: true, Complete: true})
	src, err := credentials.Find(o.S3, o.Credentials, e.Socket != "", &http.Client{Transport: roles})
	if err != nil {
		return nil, s.fail(&request{verb: verbList}, ErrBadCredentials, err)
	}
	s.keys = credentials.NewKeyring(src, s.now)
	return s, nil
}

// Close closes the connections that wait for a request. Requests under way go on.
func (s *Store) Close() {
	for _, t := range s.idle {
		t.CloseIdleConnections()
	}
}

// Requests is how many requests were sent, attempts included, by verb: "GET", "HEAD",
// "LIST", "PUT", "COPY", "DELETE", and of multipart uploads "CREATE", "PART", "PARTCOPY", "LISTPARTS",
// "COMPLETE", "ABORT".
func (s *Store) Requests() map[string]int64 {
	m := make(map[string]int64, verbs)
	for v := range verbs {
		m[verbNames[v]] = s.counts[v].Load()
	}
	return m
}

// now is the time by the server's clock, as far as it is known.
func (s *sender) now() time.Time { return time.Now().Add(time.Duration(s.skew.Load())) }
