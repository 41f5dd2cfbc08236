package run

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// Output is where a run tells the operator about itself: beside the sandbox's own
// output, so on the error stream. Only the ID of a detached sandbox, which is what
// the operator asked for, goes to Out.
type Output struct {
	Out      io.Writer
	Err      io.Writer
	Terminal bool // Err is one, and progress may be drawn
	JSON     bool // one object a line
	Quiet    bool // errors and what may be lost alone
}

// Event is a line of JSON about a run.
type Event struct {
	Event     string   `json:"event"` // "started", "left", "ended", "message"
	SandboxID string   `json:"sandbox_id,omitempty"`
	UserID    string   `json:"user_id,omitempty"`
	Image     string   `json:"image,omitempty"`
	Container string   `json:"container,omitempty"`
	Message   string   `json:"message,omitempty"`
	Saved     *bool    `json:"saved,omitempty"` // "ended": all that had changed is in S3
	Volumes   []string `json:"volumes,omitempty"`

	*datadir.Ended
}

func event(name string, r datadir.Record) Event {
	return Event{Event: name, SandboxID: r.SandboxID, UserID: r.UserID, Image: r.Image, Container: containerName(r.SandboxID)}
}

func (o Output) line(w io.Writer, e Event) {
	b, err := json.Marshal(e)
	if err == nil {
		_, _ = w.Write(append(b, '\n'))
	}
}

// Say tells the operator something beside what a run tells.
func (o Output) Say(format string, args ...any) { o.say(format, args...) }

// say writes a message of the moment. The terminal may be raw: it wants its returns.
func (o Output) say(format string, args ...any) {
	if o.JSON {
		o.line(o.Err, Event{Event: "message", Message: fmt.Sprintf(format, args...)})
		return
	}
	o.print("sandbox: " + fmt.Sprintf(format, args...))
}

// waitingAfter is how long a wait may take without a word.
const waitingAfter = 2 * time.Second

// waiting says what is waited for when that takes long, until the function that it gives is called.
func (o Output) waiting(format string, args ...any) (over func()) {
	if o.Quiet {
		return func() {}
	}
	t := time.AfterFunc(waitingAfter, func() { o.say("waiting for "+format, args...) })
	return func() { t.Stop() }
}

// later gives an output whose readers hold up no writer, and the channels that are closed when each
// of them has taken what there is.
func (o Output) later() (Output, func() []<-chan struct{}) {
	out, err := &later{to: o.Out}, &later{to: o.Err}
	o.Out, o.Err = out, err
	return o, func() []<-chan struct{} { return []<-chan struct{}{out.written(), err.written()} }
}

func (o Output) print(line string) {
	if o.Terminal {
		fmt.Fprintf(o.Err, "\r\x1b[K%s\r\n", line)
		return
	}
	fmt.Fprintln(o.Err, line)
}

// draw shows a line that the next one replaces; clear takes it away.
func (o Output) draw(line string) { fmt.Fprintf(o.Err, "\r\x1b[K%s", line) }

func (o Output) clear() { fmt.Fprint(o.Err, "\r\x1b[K") }

func (o Output) started(r datadir.Record) {
	if o.JSON {
		o.line(o.Err, event("started", r))
	}
}

// left says that a detached sandbox is ready.
func (o Output) left(r datadir.Record) {
	if o.JSON {
		o.line(o.Out, event("left", r))
		return
	}
	fmt.Fprintln(o.Out, r.SandboxID)
}

func (o Output) ended(r datadir.Record) {
	saved := r.Ended.Saved()
	if o.JSON {
		e := event("ended", r)
		e.Ended, e.Saved = r.Ended, &saved
		if r.Ended.Kept {
			e.Volumes = r.Volumes
		}
		o.line(o.Err, e)
		return
	}
	if !saved || !o.Quiet {
		o.print("sandbox: " + Sentence(r))
	}
}

// Sentence tells how a sandbox has ended, and what to do about what it has left.
func Sentence(r datadir.Record) string {
	e := r.Ended
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s, exit code %d", r.SandboxID, e.Outcome, e.ExitCode)
	if e.Reason != "" {
		fmt.Fprintf(&b, ": %s", e.Reason)
	}
	if f := e.Flush; f != nil {
		if f.Files == 0 && f.UnsavedCount == 0 {
			b.WriteString("; everything was saved before")
		} else if f.Files > 0 {
			fmt.Fprintf(&b, "; saved %s (%s) in %s", count(f.Files, "file"), size(f.Bytes), round(f.Took))
		}
		if f.UnsavedCount > 0 {
			fmt.Fprintf(&b, "; NOT saved: %s", count(f.UnsavedCount, "file"))
		}
	}
	if e.Kept {
		fmt.Fprintf(&b, "; what is not saved is kept: `sandbox save %s` saves it, `sandbox rm --force %s` throws it away", r.SandboxID, r.SandboxID)
	}
	return b.String()
}

func count(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func size(n int64) string {
	const units = "kMGTP"
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	f, u := float64(n), -1
	for f >= 999.5 && u < len(units)-1 {
		f /= 1000
		u++
	}
	return fmt.Sprintf("%.3g %cB", f, units[u])
}

func round(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(10 * time.Millisecond)
}
