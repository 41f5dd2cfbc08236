package hot

// Reasons to hold deletions back. Each is given and taken back by itself.
type holdReason int

const (
	holdRoot  holdReason = iota // the root was replaced or cannot be read
	holdEmpty                   // it is empty, and nothing was seen to be deleted
	holdReasons
)

// hold gives a reason to hold deletions back, or takes it back with "".
func (p *pending) hold(why holdReason, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.holds[why] == reason {
		return
	}
	p.holds[why] = reason
	p.held = ""
	for _, r := range p.holds {
		if r != "" {
			p.held = r
			break
		}
	}
	p.queue.HoldDeletes(p.held != "")
	if p.held != "" {
		p.home.log.Error("deletions are held back", "event", "deletes_held", "reason", p.held)
	} else {
		p.home.log.Info("deletions are sent again", "event", "deletes_released")
	}
	p.broadcastLocked()
}

// checkEmpty: a home that had files and has none now was emptied by the workload if deletions
// were seen; else something took it away (an unmounted volume), and S3 keeps what it has.
func (w *walker) checkEmpty(entries int) {
	reason := ""
	switch {
	case entries > 0:
		if w.scan != nil {
			w.deleted = false
		}
	case !w.deleted && w.h.journal.Kept():
		reason = "the home is empty, and nothing was seen to be deleted"
	}
	w.p.hold(holdEmpty, reason)
	if reason != "" && w.scan != nil {
		w.scan.trouble = true
	}
}
