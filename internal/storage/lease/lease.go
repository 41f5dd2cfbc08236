package lease

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/storage/objectstore"
)

// Options of Acquire.
type Options struct {
	Store     Store
	Key       string // of the lease's object
	Prefix    string // the workspace as people know it, for errors: s3://BUCKET/users/U/
	SandboxID string
	Instance  string

	Wait     time.Duration // how long to wait for another holder
	Takeover string        // the INSTANCE of a holder known to be dead; "" none

	Log   *slog.Logger
	Clock Clock // nil: CLOCK_BOOTTIME

	// OnChange is called, one call at a time, when the lease gets into doubt, is renewed
	// again or is lost. It must not block for long. May be nil.
	OnChange func(contract.LeaseStatus)
}

type phase int

const (
	held phase = iota
	doubt
	lost
	released
)

// Lease is a lease that was acquired. It implements Fence.
type Lease struct {
	opts  Options
	log   *slog.Logger
	clock Clock

	seal Seal // that of the record which the first of ours replaced

	mu       sync.Mutex
	phase    phase
	why      error         // of the phase: ErrInDoubt, a *LostError, ErrReleased
	deadline time.Duration // of the fence, in boot time
	sent     time.Duration // when the last successful renewal was sent
	renewed  time.Time     // the same for people
	changed  chan struct{} // closed when phase changes
	writes   map[*write]struct{}

	// The following belong to Acquire, then to the renewing goroutine, then to Release.

	etag    string   // of the object as we wrote it last
	pending *pending // the record whose write has not been answered yet; nil: none

	stop context.CancelFunc
	done sync.WaitGroup
}

// Acquire takes the lease and keeps it renewed until Release or Close. A *HeldError says
// that another sandbox has it.
func Acquire(ctx context.Context, opts Options) (*Lease, error) {
	l := &Lease{
		opts: opts, log: opts.Log, clock: opts.Clock,
		changed: make(chan struct{}), writes: make(map[*write]struct{}),
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if l.clock == nil {
		l.clock = bootClock{}
	}
	if err := l.take(ctx); err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.done.Go(func() { l.renewals(running) })
	l.done.Go(func() { l.watchDeadline(running) })
	if opts.OnChange != nil {
		l.done.Go(func() { l.report(running) })
	}
	return l, nil
}

// take writes our record as soon as the rules allow it.
func (l *Lease) take(ctx context.Context) error {
	began := l.clock.Now()
	for {
		s, err := l.opts.Store.Read(ctx, l.opts.Key)
		free := errors.Is(err, errNoLease)
		if err != nil && !free {
			return fmt.Errorf("cannot read the lease of %s: %w", l.opts.Prefix, err)
		}
		var reason string
		switch {
		case free:
			reason = "free"
		case s.Released:
			reason = "released"
		case s.Instance == l.opts.Instance:
			reason = "our own"
		case l.opts.Takeover != "" && s.Instance == l.opts.Takeover:
			reason = "taken over"
		case s.expired():
			reason = "expired"
		}
		if reason == "" {
			waited := l.clock.Now() - began
			if waited >= l.opts.Wait {
				return &HeldError{Prefix: l.opts.Prefix, SandboxID: s.SandboxID, Instance: s.Instance, Age: s.age(), Waited: waited}
			}
			l.log.Info("waiting for another sandbox's lease", "event", "lease_wait",
				"holder", s.SandboxID, "holder_instance", s.Instance, "age_s", s.age().Seconds())
			if err := l.clock.Until(ctx, min(began+l.opts.Wait, l.clock.Now()+pollEvery)); err != nil {
				return fmt.Errorf("cannot wait for the lease of %s: %w", l.opts.Prefix, context.Cause(ctx))
			}
			continue
		}
		l.seal = s.Seal
		switch err := l.writeFirst(ctx, s.etag); {
		case err == nil:
			l.log.Info("the workspace is ours", "event", "lease_acquired", "instance", l.opts.Instance,
				"was", reason, "holder", s.SandboxID, "holder_instance", s.Instance)
			return nil
		case errors.Is(err, errChanged):
			// Another one was faster, or our own write arrived and its answer did not: look again.
		default:
			return fmt.Errorf("cannot write the lease of %s: %w", l.opts.Prefix, err)
		}
	}
}

// writeFirst is write, which an end of ctx does not cut off at once: a record that arrived
// without a holder that knows of it would keep the next sandbox waiting.
func (l *Lease) writeFirst(ctx context.Context, etag string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	patient, cancel := objectstore.Outlive(ctx, firstGrace)
	defer cancel()
	return l.write(patient, etag)
}

// firstGrace is how much longer than its reason the first write may take.
const firstGrace = 2 * time.Second

// pending is a record whose write has not been answered: it may be stored, or arrive yet. While
// the version that it replaces is the known one, every attempt sends the same record, so that
// one nonce tells our own write from another's, however many attempts there were.
type pending struct {
	record
	over string        // the ETag that it replaces; "": there was no object
	sent time.Duration // the first attempt, in boot time: the server's Last-Modified is not before it
}

// write puts our record over the version etag ("": where none is) and, when the answer says
// that it is stored, moves the deadline.
func (l *Lease) write(ctx context.Context, etag string) error {
	sent := l.clock.Now() // before the request leaves: see the package comment
	if l.pending == nil || l.pending.over != etag {
		l.pending = &pending{record: l.record(false, l.seal), over: etag, sent: sent}
	}
	etag, err := l.opts.Store.Write(ctx, l.opts.Key, l.pending.encode(), etag)
	if err != nil {
		return err
	}
	l.confirm(etag, sent)
	return nil
}

// confirm moves the deadline: the server has our record with this ETag, sent then.
func (l *Lease) confirm(etag string, sent time.Duration) {
	l.etag, l.pending = etag, nil // an attempt that is still on its way needs the version that this one replaced
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.phase != held && l.phase != doubt {
		return
	}
	now := l.clock.Now()
	l.sent, l.renewed, l.deadline = sent, time.Now().Add(sent-now), sent+writeFor
	// An answer can take longer than writeFor: then the next renewal must open the fence.
	if l.phase == doubt && now < l.deadline {
		l.log.Info("S3 is written to again", "event", "lease_renewed", "instance", l.opts.Instance)
		l.becomeLocked(held, nil)
	}
}

// wrote says that we have written what is stored, or that an attempt of ours has.
func (l *Lease) wrote(s stored) bool {
	return s.Instance == l.opts.Instance && l.pending != nil && s.Nonce == l.pending.Nonce
}

// record is what we write: always another one. The time is for machines that were resumed from one
// snapshot: their random numbers may be the same at first.
func (l *Lease) record(released bool, seal Seal) record {
	return record{
		LeaseHolder: contract.LeaseHolder{SandboxID: l.opts.SandboxID, Instance: l.opts.Instance, Released: released},
		Nonce:       rand.Text() + strconv.FormatInt(time.Now().UnixNano(), 36),
		Seal:        seal,
	}
}

// Seal is what an earlier holder has left.
func (l *Lease) Seal() Seal { return l.seal }

// Status is the lease as the control socket shows it.
func (l *Lease) Status() contract.LeaseStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closeFenceLocked()
	s := contract.LeaseStatus{Instance: l.opts.Instance, Renewed: l.renewed}
	switch l.phase {
	case held:
		s.State = "held"
	case doubt:
		s.State = "waiting"
		s.Warning = fmt.Sprintf("the lease has not been renewed for %s: nothing is written to S3 until it is",
			(l.clock.Now() - l.sent).Round(time.Second))
	case lost:
		s.State, s.Warning = "lost", l.why.Error()
	case released:
		s.State = "released"
	}
	return s
}

// report calls OnChange after each change of phase.
func (l *Lease) report(ctx context.Context) {
	l.mu.Lock()
	last := l.phase
	l.mu.Unlock()
	for {
		l.mu.Lock()
		p, changed := l.phase, l.changed
		l.mu.Unlock()
		if p == released {
			return
		}
		if p != last {
			last = p
			l.opts.OnChange(l.Status())
			continue // it may have changed meanwhile
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
