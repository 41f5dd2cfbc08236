package hydrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/matrx/sandbox/internal/storage/objectstore"
)

// A store that gives no proper answer (500, a broken connection) may be down, or fail for one key alone. The
// one has to be waited for, since a home with holes is worse than none; the other would keep the sandbox from
// ever starting. What becomes of other keys tells: a key is tried for a short while, then put off until
// the others are here, and given up when it still fails while others are answered. It stays in S3 then, is
// named, and the journal does not have it, so that nothing takes it for deleted. A store that asks for patience (503, 429)
// gets half of the start's time.

const (
	// usualPatience is how long a read of one key is tried before other keys are.
	usualPatience = 5 * time.Second

	// aloneRounds is how often a key has to fail in a row, while others are answered, to be given up.
	aloneRounds = 3

	// mostWitnesses is how many other keys are asked for.
	mostWitnesses = 3
)

var errAlone = errors.New("the store gives no proper answer for it, while it does for others")

// patient is the context for a read of one key. The rules of what is left out cannot be done without.
func (h *listing) patient(ctx context.Context) context.Context {
	if h.rulesAlone {
		return ctx
	}
	return objectstore.WithPatience(ctx, cmp.Or(h.patience, usualPatience))
}

// mayBeStore says that an error may be about the store as a whole, or about one key.
func mayBeStore(err error) bool {
	return errors.Is(err, objectstore.ErrUnavailable) || errors.Is(err, objectstore.ErrEndpoint)
}

// putOff notes that the read of an item failed in a way that may be the store's. It tells whether the item is tried
// again when the others are here.
func (h *run) putOff(ctx context.Context, i int, err error) bool {
	if h.rulesAlone || ctx.Err() != nil || !mayBeStore(err) {
		return false
	}
	h.mu.Lock()
	h.failing[i] = err
	h.mu.Unlock()
	h.Log.Warn("an object cannot be read; it is tried again when the others are here", "event", "hydrate_put_off", "key", h.prefix+h.items[i].key, "error", err)
	return true
}

// retrier tries again what was put off.
type retrier struct{ *run }

// retryFailing tries again what was put off, until nothing is left or it fails alone.
func (h retrier) retryFailing(ctx context.Context) error {
	for failed := 1; len(h.failing) > 0; failed++ {
		alone, err := h.failAlone(ctx)
		if err != nil {
			return err
		}
		if !alone {
			failed = 0
		}
		h.giveUp(ctx, failed)
		if len(h.failing) == 0 {
			return nil
		}
		items := slices.Sorted(maps.Keys(h.failing))
		if err := h.pause(ctx); err != nil {
			return fmt.Errorf("%w (%w)", h.failing[items[0]], err)
		}
		clear(h.failing)
		if err := h.fetchSome(ctx, items, getters); err != nil {
			return err
		}
	}
	return nil
}

// failAlone tells whether the store answers for other keys than those that fail, which are not the most.
func (h retrier) failAlone(ctx context.Context) (bool, error) {
	answered, err := h.answered(ctx, "")
	read := h.res.Files + h.res.Unchanged + h.res.Adopted + int64(answered)
	return answered > 0 && int64(len(h.failing)) <= read, err
}

// isHopeless tells whether a key that has failed with err so many times in a row, while others were answered, is given
// up. A store that asks for patience may mean all that is asked of it at that time, and not this key.
func (h *listing) isHopeless(ctx context.Context, failed int, err error) bool {
	e, ok := errors.AsType[*objectstore.Error](err)
	if ok && (e.Status == http.StatusServiceUnavailable || e.Status == http.StatusTooManyRequests) {
		end, ok := ctx.Deadline()
		return failed >= aloneRounds && ok && time.Until(end) < h.Config.HydrateTimeout/2
	}
	return failed >= aloneRounds
}

// giveUp leaves the objects that fail alone in S3. The files at their paths stay, too.
func (h retrier) giveUp(ctx context.Context, failed int) {
	for i, err := range h.failing {
		if !h.isHopeless(ctx, failed, err) {
			continue
		}
		delete(h.failing, i)
		h.keep(h.items[i].key, fmt.Sprintf("%v: %v", errAlone, err))
		h.items[i].verdict = nothing
	}
}

// lookUp is Head of an item's key. Its error is errAlone when that key alone fails.
func (h *listing) lookUp(ctx context.Context, key string) (objectstore.Object, error) {
	for failed := 1; ; failed++ {
		o, err := h.Store.Head(h.patient(ctx), h.prefix+key)
		if h.rulesAlone || ctx.Err() != nil || !mayBeStore(err) {
			return o, err
		}
		n, werr := h.answered(ctx, key)
		if werr != nil {
			return o, werr
		}
		if n == 0 {
			failed = 0
		}
		if h.isHopeless(ctx, failed, err) {
			return o, fmt.Errorf("%w: %w", errAlone, err)
		}
		if err := h.pause(ctx); err != nil {
			return o, err
		}
	}
}

// answered is for how many other keys the store has an answer, a refusal included. An error is one that concerns
// every key.
func (h *listing) answered(ctx context.Context, but string) (n int, err error) {
	for _, key := range h.witnesses(but) {
		body, err := h.Store.Get(h.patient(ctx), key, objectstore.GetOptions{})
		switch {
		case err == nil:
			n++
			body.Close()
		case ctx.Err() != nil:
			return n, err
		case errors.Is(err, objectstore.ErrNotFound), errors.Is(err, objectstore.ErrAccessDenied):
			n++
		case !errors.Is(err, objectstore.ErrUnavailable):
			return n, err
		}
	}
	return n, nil
}

// witnesses are some keys that have not failed, small ones first, and the manifest's, which need not exist.
func (h *listing) witnesses(but string) []string {
	var is []int
	for i := range h.items {
		if _, failing := h.failing[i]; failing || h.items[i].key == but {
			continue
		}
		is = append(is, i)
		slices.SortStableFunc(is, func(a, b int) int { return cmp.Compare(h.items[a].size, h.items[b].size) })
		is = is[:min(len(is), mostWitnesses)]
	}
	keys := []string{h.place.ManifestKey()}
	for _, i := range is {
		keys = append(keys, h.prefix+h.items[i].key)
	}
	return keys
}

// pauseShare of the patience is left between two rounds: a refusal may come at once.
const pauseShare = 5

func (h *listing) pause(ctx context.Context) error {
	t := time.NewTimer(cmp.Or(h.patience, usualPatience) / pauseShare)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
