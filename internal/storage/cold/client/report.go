package client

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	showAfter = 2 * time.Second
	showEvery = 250 * time.Millisecond
	lineEvery = time.Second // of --json
)

// Line is one line of `get --json` and `put --json`: about one file, about how far all of it is (once
// it has taken two seconds, each second), or, the last, about the end.
type Line struct {
	Path   string `json:"path,omitempty"`   // on the side that is written
	Action string `json:"action,omitempty"` // "stored", "fetched", "unchanged", "skipped" or "failed"
	Size   int64  `json:"size,omitempty"`
	Error  string `json:"error,omitempty"`

	*Totals
}

// Totals counts files; directories and links are files here.
type Totals struct {
	Done      bool  `json:"done"`
	Files     int64 `json:"files"` // stored or fetched
	Bytes     int64 `json:"bytes"` // of them, those under way included
	Unchanged int64 `json:"unchanged"`
	Skipped   int64 `json:"skipped"` // sockets, FIFOs and devices
	Failed    int64 `json:"failed"`
	AllFiles  int64 `json:"all_files"` // known so far
	AllBytes  int64 `json:"all_bytes"`
}

// report counts what a get or put does and says so: on a terminal once it has taken two seconds, and
// with --json as Lines. It may be used by several goroutines.
type report struct {
	c      command
	verb   string // "stored" or "fetched"
	asJSON bool
	quiet  bool // one file only: no summary

	mu     sync.Mutex
	t      Totals
	shown  bool
	errors []error

	stop, stopped chan struct{}
}

func (c command) report(verb string, asJSON bool) *report {
	r := &report{c: c, verb: verb, asJSON: asJSON, stop: make(chan struct{}), stopped: make(chan struct{})}
	go r.show()
	return r
}

// show says how far it is, from time to time, until end.
func (r *report) show() {
	defer close(r.stopped)
	every := showEvery
	if r.asJSON {
		every = lineEvery
	} else if !r.c.terminal {
		<-r.stop
		return
	}
	timer := time.NewTimer(showAfter)
	defer timer.Stop()
	for {
		select {
		case <-r.stop:
			return
		case <-timer.C:
		}
		timer.Reset(every)
		r.mu.Lock()
		if t := r.t; r.asJSON {
			r.line(Line{Totals: &t})
		} else {
			r.shown = true
			fmt.Fprintf(r.c.stderr, "\r\x1b[K%s %d of %d files, %s of %s", r.verb, t.Files+t.Unchanged, t.AllFiles, size(t.Bytes), size(t.AllBytes))
		}
		r.mu.Unlock()
	}
}

// line writes a line of --json. With mu.
func (r *report) line(l Line) { _ = json.NewEncoder(r.c.stdout).Encode(l) }

// expect counts what is to come.
func (r *report) expect(bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.t.AllFiles++
	r.t.AllBytes += bytes
}

// Write counts bytes that have come.
func (r *report) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.t.Bytes += int64(len(b))
	return len(b), nil
}

// did notes what became of one file.
func (r *report) did(action, path string, size int64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := Line{Path: path, Action: action, Size: size}
	switch {
	case err != nil:
		r.t.Failed++
		r.errors = append(r.errors, err)
		l.Action, l.Error = "failed", err.Error()
		if !r.asJSON {
			r.say(err.Error())
		}
	case action == "unchanged":
		r.t.Unchanged++
		r.t.AllBytes -= size
	case action == "skipped":
		r.t.Skipped++
		if !r.asJSON {
			r.say(fmt.Sprintf("%q is left out: it is no file, directory or symbolic link", path))
		}
	default:
		r.t.Files++
	}
	if r.asJSON {
		r.line(l)
	}
}

// say writes a sentence to standard error, over what shows how far it is. With mu.
func (r *report) say(text string) {
	r.clear()
	fmt.Fprintln(r.c.stderr, "sandbox-init cold:", text)
}

func (r *report) clear() {
	if r.shown {
		fmt.Fprint(r.c.stderr, "\r\x1b[K")
		r.shown = false
	}
}

// end ends the report with a summary, and gives the error that the command ends with.
func (r *report) end() error {
	close(r.stop)
	<-r.stopped
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clear()
	r.t.Done = true
	if t := r.t; r.asJSON {
		r.line(Line{Totals: &t})
	} else if !r.quiet {
		fmt.Fprintf(r.c.stderr, "%s %d files (%s), %d unchanged, %d left out, %d failed\n", r.verb, t.Files, size(t.Bytes), t.Unchanged, t.Skipped, t.Failed)
	}
	if len(r.errors) == 0 {
		return nil
	}
	return &transferError{r.errors}
}

// transferError ends a get or put of which a part failed. Each failure was said when it happened.
type transferError struct{ errs []error }

func (e *transferError) Error() string {
	if len(e.errs) == 1 {
		return "1 file failed"
	}
	return fmt.Sprintf("%d files failed", len(e.errs))
}

// kept says that all that failed is kept here and pending.
func (e *transferError) kept() bool {
	for _, err := range e.errs {
		if !kept(err) {
			return false
		}
	}
	return true
}

// size is a number of bytes for people.
func size(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	f, i := float64(n), 0
	for f >= 1000 && i < len(units)-1 {
		f, i = f/1000, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}

// copy copies exactly size bytes: fewer are an answer that broke off.
func (r *report) copy(to io.Writer, from io.Reader, size int64) error {
	n, err := io.Copy(to, io.TeeReader(from, r))
	if err != nil {
		return err
	}
	if n != size {
		return fmt.Errorf("%w (%d of %d bytes)", errBroken, n, size)
	}
	return nil
}
