package control

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
)

// shownFiles is how many names of a list people get to see; --json has them all.
const shownFiles = 10

// page is the status for people: one "name  value" a line, aligned.
type page struct {
	w      *bytes.Buffer
	now    time.Time
	colour bool
}

func printReport(w io.Writer, r Report, now time.Time, colour bool) error {
	var out bytes.Buffer
	p := &page{w: &out, now: now, colour: colour}
	p.state(r.State)
	switch s := r.State; {
	case s.Phase == contract.PhaseUnbound:
		p.line("storage", p.paint(yellow, "none yet")+": the sandbox waits for its user")
	case s.Storage == contract.StorageNone:
		p.line("storage", p.paint(yellow, "none")+": no S3_BUCKET was given, nothing is kept")
	case r.Storage != nil:
		p.storage(*r.Storage)
	case r.StorageError != "":
		p.line("storage", p.paint(red, "not answering")+": "+printable(r.StorageError))
	}
	p.cold(r.State, r.Storage)
	if r.State.Problem != "" {
		p.line("problem", p.paint(red, printable(r.State.Problem)))
	}
	_, err := w.Write(out.Bytes())
	return err
}

func (p *page) line(name, value string) { fmt.Fprintf(p.w, "%-16s%s\n", name, value) }

func (p *page) state(s contract.State) {
	user := ""
	if s.UserID != "" {
		user = " of user " + s.UserID
	}
	p.line("sandbox", fmt.Sprintf("%s%s, sandbox-init %s", s.SandboxID, user, s.Version))
	switch {
	case s.Ready && alive(s):
		p.line("state", fmt.Sprintf("%s for %s", p.paint(green, "ready"), p.since(s.ReadyAt)))
	case s.ExitCode != nil:
		p.line("state", fmt.Sprintf("%s with code %d", p.paint(yellow, "ended"), *s.ExitCode))
	case !alive(s):
		p.line("state", p.paint(red, "dead")+fmt.Sprintf(": process %d ended in %s without a flush", s.PID, s.Phase))
	default:
		p.line("state", fmt.Sprintf("%s, started %s ago", p.paint(yellow, string(s.Phase)), p.since(s.StartedAt)))
	}
	workload := "none; the sandbox waits for exec"
	if s.WorkloadPID != 0 {
		workload = fmt.Sprintf("process %d", s.WorkloadPID)
	}
	p.line("workload", workload+", isolation "+s.Isolation)
	p.line("home", printable(s.HotPath))
}

func (p *page) storage(s contract.StorageStatus) {
	p.line("storage", where(s.Store))
	h := s.Hot
	p.line("  hot", fmt.Sprintf("%s, %s (%s) in S3", p.hotState(h.State), files(h.Files), size(h.Bytes)))
	changed := "nothing waits"
	if h.DirtyFiles > 0 || h.InFlight > 0 {
		changed = fmt.Sprintf("%s (%s) not yet in S3, the oldest for %s; %d in flight", files(h.DirtyFiles), size(h.DirtyBytes), short(h.Staleness), h.InFlight)
	}
	p.line("  changes", changed)
	if !h.LastSuccess.IsZero() {
		p.line("  complete", fmt.Sprintf("%s ago, at sequence %d", p.since(h.LastSuccess), h.Sequence))
	}
	p.line("  moved", fmt.Sprintf("%s hydrated in %s; %s (%s) uploaded", files(h.Hydrated), short(h.HydrateTook), files(h.Uploaded), size(h.UploadBytes)))
	p.line("  lease", p.lease(s.Lease))
	if len(s.Requests) > 0 {
		var requests []string
		for _, verb := range slices.Sorted(maps.Keys(s.Requests)) {
			requests = append(requests, fmt.Sprintf("%s %d", verb, s.Requests[verb]))
		}
		p.line("  requests", strings.Join(requests, ", "))
	}
	if len(s.Store.Conditional) > 0 {
		p.line("  conditions", "honoured for "+strings.Join(s.Store.Conditional, ", "))
	}
	if h.WatchLimit {
		p.line("  watching", p.paint(yellow, "by scanning")+": the home has more directories than a sandbox may watch (a sixteenth of fs.inotify.max_user_watches)")
	}
	if h.Problem != "" {
		p.line("  problem", p.paint(red, printable(h.Problem)))
	}
	if h.Held != "" {
		p.line("  held", p.paint(yellow, "deletions are held back: ")+printable(h.Held))
	}
	if h.Conflicts > 0 {
		p.line("  conflicts", fmt.Sprintf("%s made; look for *.conflict-*", copies(h.Conflicts)))
	}
	p.list("  not saved", red, h.Failed, h.FailedCount)
	p.list("  kept in S3", yellow, h.Kept, int64(len(h.Kept)))
	p.names("  not at rest", h.NotAtRest)
	p.names("  left out, mounted", h.Mounts)
}

func (p *page) names(what string, names []string) {
	for i, name := range names {
		if i == shownFiles {
			p.line("", fmt.Sprintf("and %d more", len(names)-i))
			break
		}
		p.line(label(i, what), printable(name))
	}
}

func (p *page) lease(l contract.LeaseStatus) string {
	switch l.State {
	case "held":
		return fmt.Sprintf("%s by instance %s, renewed %s ago", p.paint(green, "held"), l.Instance, p.since(l.Renewed))
	case "lost":
		return p.paint(red, "lost") + ": " + printable(l.Warning)
	}
	if l.Warning == "" {
		return p.paint(yellow, l.State)
	}
	return p.paint(yellow, l.State) + ": " + printable(l.Warning)
}

func (p *page) list(name, colour string, list []contract.Unsaved, total int64) {
	for i, u := range list {
		if i == shownFiles {
			p.line("", fmt.Sprintf("and %d more", total-int64(i)))
			return
		}
		p.line(label(i, name), p.paint(colour, printable(u.Path))+": "+printable(u.Reason))
	}
}

func (p *page) cold(s contract.State, storage *contract.StorageStatus) {
	switch s.Cold {
	case "", contract.ColdNone:
		return
	case contract.ColdUnavailable:
		p.line("cold", p.paint(yellow, "unavailable")+": "+printable(s.ColdReason))
	default:
		p.line("cold", p.paint(green, s.Cold)+" at "+printable(s.ColdPath))
	}
	if storage == nil || storage.Cold == nil {
		return
	}
	c := storage.Cold
	p.line("  pending", fmt.Sprintf("%s (%s)", files(c.PendingFiles), size(c.PendingBytes)))
	p.line("  cache", fmt.Sprintf("%s of %s", size(c.CacheBytes), size(c.CacheMax)))
	p.list("  not saved", red, c.Failed, int64(len(c.Failed)))
}

func label(i int, name string) string {
	if i > 0 {
		return ""
	}
	return name
}

func where(s contract.StoreStatus) string {
	at := ""
	if s.Endpoint != "" {
		at = " at " + printable(s.Endpoint)
	}
	return printable(fmt.Sprintf("s3://%s/%s", s.Bucket, s.Prefix)) + at
}

// since is 0 of a time that another clock gave, or one that was set back since.
func (p *page) since(t time.Time) string { return short(max(p.now.Sub(t), 0)) }

func (p *page) hotState(state string) string {
	switch state {
	case "synced":
		return p.paint(green, state)
	case "failed":
		return p.paint(red, state)
	}
	return p.paint(yellow, state)
}

// Colours, as SGR sequences of ECMA-48.
const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	plain  = "\x1b[0m"
)

func (p *page) paint(colour, text string) string {
	if !p.colour {
		return text
	}
	return colour + text + plain
}

func terminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
