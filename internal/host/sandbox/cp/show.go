package cp

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/matrx/sandbox/internal/host/engine/terminal"
	"github.com/matrx/sandbox/internal/tarstream"
)

// A copy that takes longer than quietFor shows how far it is, that often.
const (
	quietFor  = 2 * time.Second
	showEvery = 250 * time.Millisecond
)

// show shows the progress on a terminal until stop is called.
func (o Options) show(p *tarstream.Progress) (stop func()) {
	if !o.Terminal {
		return func() {}
	}
	var work sync.WaitGroup
	over := make(chan struct{})
	work.Go(func() {
		next := time.NewTimer(quietFor)
		defer next.Stop()
		shown := false
		for {
			select {
			case <-next.C:
				fmt.Fprintf(o.Err, "\r\x1b[Kcopied %d files, %.1f MB", p.Files.Load(), float64(p.Bytes.Load())/1e6)
				shown = true
				next.Reset(showEvery)
			case <-over:
				if shown {
					fmt.Fprint(o.Err, "\r\x1b[K")
				}
				return
			}
		}
	})
	return func() {
		close(over)
		work.Wait()
	}
}

// reader counts what it reads.
type reader struct {
	io.Reader
	p *tarstream.Progress
}

func (r *reader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.p.Bytes.Add(int64(n))
	return n, err
}

// Bounds on what is kept of the inner end's words.
const (
	maxSaid = 16 << 10
	maxLine = 600
)

// tail keeps the last of what is written to it.
type tail struct{ b []byte }

func (t *tail) Write(b []byte) (int, error) {
	t.b = append(t.b, b...)
	if over := len(t.b) - maxSaid; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(b), nil
}

// lines gives it as plain text.
func (t *tail) lines() []string {
	var out []string
	for l := range strings.Lines(string(t.b)) {
		if l = terminal.Plain(l, maxLine); l != "" {
			out = append(out, l)
		}
	}
	return out
}
