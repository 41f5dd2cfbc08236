package hot

import (
	"context"
	"strings"
	"time"

	"github.com/matrx/sandbox/internal/storage/hot/queue"
)

// scan is one look at the whole tree, a piece of it a turn, so that events are taken meanwhile.
type scan struct {
	todo     []string
	began    queue.Time
	again    bool      // events were lost since it began: another one has to follow
	barriers []barrier // kept by this one
	next     []barrier // asked for since it began
	trouble  bool      // the root is not what it was: nothing is inferred from it
}

const (
	// scanEvery is the time between scans while events tell what changes.
	scanEvery = time.Minute

	// Where they do not, a scan follows the one before after a multiple of the time that one
	// took: a tenth of one processor at most.
	scanLeast = time.Second
	scanShare = 10

	// scanPiece is how many directories are read in one turn.
	scanPiece = 256
)

// step does a piece of the scan that is under way or due.
func (o *observer) step(ctx context.Context, now queue.Time) {
	if o.scan == nil {
		if now < o.nextScan {
			return
		}
		o.beginScan(now, nil)
	}
	o.worked = true
	s := o.scan
	n := min(scanPiece, len(s.todo))
	piece := s.todo[len(s.todo)-n:]
	s.todo = s.todo[:len(s.todo)-n]
	s.todo = append(s.todo, o.readDirs(piece)...)
	if len(s.todo) == 0 && ctx.Err() == nil {
		o.endScan()
	}
}

func (o *observer) beginScan(now queue.Time, barriers []barrier) {
	if o.h.remounted() {
		clear(o.excluded)
	}
	o.scan = &scan{todo: []string{""}, began: now, barriers: barriers}
	if o.checkRoot() {
		o.scan.trouble = true
	}
}

// scanSoon makes a scan due: another one, when one is under way.
func (o *observer) scanSoon() {
	o.nextScan = 0
	if o.scan != nil {
		o.scan.again = true
	}
}

// scanFor keeps a barrier by a scan that begins after it was asked for.
func (o *observer) scanFor(b barrier) {
	if o.scan != nil {
		o.scan.next = append(o.scan.next, b)
		return
	}
	o.beginScan(o.p.now(), []barrier{b})
}

func (o *observer) endScan() {
	s := o.scan
	o.scan = nil
	s.trouble = o.checkRoot() || s.trouble
	o.settleMissing(s.trouble)
	o.settleUnread(s.trouble)
	o.settleStuck(s.trouble)
	now := o.p.now()
	o.p.scanned()
	if (o.blind || o.limited || o.watcher == nil) && !s.again {
		o.p.observedUpTo(s.began)
	}
	if !s.again {
		o.blind = false
	}
	o.nextScan = now + scanEvery
	if o.limited || o.watcher == nil {
		o.nextScan = now + min(max(scanLeast, scanShare*(now-s.began)), scanEvery)
	}
	for _, b := range s.barriers {
		close(b.done)
	}
	if s.again || len(s.next) > 0 {
		o.beginScan(now, s.next)
	}
	o.p.wake()
}

// checkRoot holds deletions back while the configured path is not the directory that was
// hydrated.
func (o *observer) checkRoot() (trouble bool) {
	replaced, err := o.h.root.Replaced()
	reason := ""
	switch {
	case err != nil:
		reason = "the home cannot be read: " + err.Error()
	case replaced:
		reason = o.h.root.Name() + " is not the directory that was hydrated any more: it was moved, mounted over or made anew"
	}
	o.p.hold(holdRoot, reason)
	return reason != ""
}

// settleUnread forgets the directories that could not be read and are gone: their deletion may
// have been one of the events that were lost, and nothing else tells of it.
func (o *observer) settleUnread(trouble bool) {
	for path := range o.unread {
		if _, err := o.h.root.Lstat(path); !trouble && isMissing(err) {
			delete(o.unread, path)
			o.p.sawNothing(path, false)
		}
	}
}

// settleStuck forgets what could not be stored and is gone, or left out by now. S3 and the
// journal know nothing of it, so that no comparison tells.
func (o *observer) settleStuck(trouble bool) {
	if trouble {
		return
	}
	for _, name := range o.p.stuck(mostListed) {
		path, isDir := strings.CutSuffix(name, "/")
		switch _, err := o.h.root.Lstat(path); {
		case o.h.rules.Load().Match(path, isDir): // first: a mount over a file hides it
			o.p.leaveOut(path)
		case isMissing(err):
			o.p.sawNothing(path, false)
		}
	}
}
