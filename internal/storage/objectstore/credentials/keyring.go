package credentials

import (
	"context"
	"sync"
	"time"
)

const (
	// renewBefore is how long before their end credentials are asked for again.
	renewBefore = 5 * time.Minute
	// renewAgain is how soon a source is asked again that failed or said nothing new.
	renewAgain = time.Minute
)

// Keyring holds the credentials in use, and asks their source again when they are about to
// end and when the server has refused them.
type Keyring struct {
	source Source
	now    func() time.Time

	mu       sync.Mutex
	current  *Credentials
	fetching chan struct{} // closed when the request to the source that is under way is over
}

// NewKeyring holds what source gives; now is the time by the server's clock.
func NewKeyring(source Source, now func() time.Time) *Keyring {
	return &Keyring{source: source, now: now}
}

// String names the source.
func (k *Keyring) String() string { return k.source.String() }

// Get is the credentials to sign with now.
func (k *Keyring) Get(ctx context.Context) (*Credentials, error) {
	for {
		k.mu.Lock()
		now := k.now()
		c, wait := k.current, k.fetching
		usable := c != nil && (c.Expires.IsZero() || now.Before(c.Expires))
		if usable && (wait != nil || c.Renew.IsZero() || now.Before(c.Renew)) {
			k.mu.Unlock()
			return c, nil
		}
		if wait == nil {
			break
		}
		k.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	done := make(chan struct{})
	k.fetching = done
	k.mu.Unlock()
	c, err := k.source.Read(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fetching = nil
	close(done)

	now := k.now()
	if err != nil {
		old := k.current
		if old == nil || !old.Expires.IsZero() && !now.Before(old.Expires) {
			return nil, err
		}
		c = *old // good until it ends
	}
	if !c.Renew.IsZero() && c.Renew.Before(now.Add(renewAgain)) {
		c.Renew = now.Add(renewAgain)
	}
	k.current = &c
	return &c, nil
}

// Refused says that the server did not take old. It reports whether there are others now:
// the source is asked again, unless another request has done so meanwhile. The error is the
// source's; unless that one Lasts, there may be others soon.
func (k *Keyring) Refused(ctx context.Context, old *Credentials) (renewed bool, err error) {
	k.mu.Lock()
	if k.current == old {
		k.current = nil
	}
	k.mu.Unlock()
	c, err := k.Get(ctx)
	return err == nil && !c.same(old), err
}
