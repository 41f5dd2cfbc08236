package hot

// Reasons to hold deletions back. Each is given and taken back by itself.
type holdReason int

const (
	holdRoot  holdReason = iota // the root was replaced or cannot be read
	holdEmpty                   // it is empty, and nothing was seen to be deleted
	holdReasons
)

// hold gives a reason to hold deletions back, or takes it back with "".
func (o *observer) hold(why holdReason, reason string) {
	e := o.e
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.holds[why] == reason {
		return
	}
	e.holds[why] = reason
	e.held = ""
	for _, r := range e.holds {
		if r != "" {
			e.held = r
			break
		}
	}
	e.line.HoldDeletes(e.held != "")
	if e.held != "" {
		e.Log.Error("deletions are held back", "event", "deletes_held", "reason", e.held)
	} else {
		e.Log.Info("deletions are sent again", "event", "deletes_released")
	}
	e.tell()
	e.ended()
}

// checkEmpty: a home that had files and has none now was emptied by the workload if deletions
// were seen; else something took it away (an unmounted volume), and S3 keeps what it has.
func (o *observer) checkEmpty(entries int) {
	reason := ""
	switch {
	case entries > 0:
		if o.scan != nil {
			o.deleted = false
		}
	case !o.deleted && o.e.journal.Kept():
		reason = "the home is empty, and nothing was seen to be deleted"
	}
	o.hold(holdEmpty, reason)
	if reason != "" && o.scan != nil {
		o.scan.trouble = true
	}
}
