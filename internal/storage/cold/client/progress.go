package client

import (
	"fmt"
	"io"
	"time"
)

// progress counts what goes through it and says so on a terminal, once it has taken
// longer than showAfter.
type progress struct {
	to    io.Writer // nil: silent
	what  string
	total int64
	done  int64
	next  time.Time
	shown bool
}

const (
	showAfter = 2 * time.Second
	showEvery = 200 * time.Millisecond
)

func (c command) progress(what string, total int64) *progress {
	p := &progress{what: what, total: total, next: time.Now().Add(showAfter)}
	if c.terminal {
		p.to = c.stderr
	}
	return p
}

func (p *progress) Write(b []byte) (int, error) {
	p.done += int64(len(b))
	if now := time.Now(); p.to != nil && now.After(p.next) {
		p.next, p.shown = now.Add(showEvery), true
		percent := int64(100)
		if p.total > 0 {
			percent = p.done * 100 / p.total
		}
		fmt.Fprintf(p.to, "\r\x1b[K%s: %d%% of %d bytes", p.what, percent, p.total)
	}
	return len(b), nil
}

func (p *progress) end() {
	if p.shown {
		fmt.Fprint(p.to, "\r\x1b[K")
	}
}

// copy copies exactly size bytes: fewer are an answer that broke off.
func (c command) copy(to io.Writer, from io.Reader, what string, size int64) error {
	p := c.progress(what, size)
	defer p.end()
	n, err := io.Copy(to, io.TeeReader(from, p))
	if err != nil {
		return err
	}
	if n != size {
		return fmt.Errorf("%w (%d of %d bytes)", errBroken, n, size)
	}
	return nil
}
