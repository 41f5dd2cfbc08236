package execs

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/matrx/sandbox/conformance/check"
	"github.com/matrx/sandbox/internal/execapi"
)

func inputAndTerminal(ctx context.Context, e *check.Env) error {
	_, c, err := e.Execs(ctx, check.Start{})
	if err != nil {
		return err
	}
	if err := inputEnds(ctx, c); err != nil {
		return err
	}
	spec := check.ProbeSpec("terminal")
	spec.Stdin, spec.Terminal = true, &execapi.Size{Rows: 33, Columns: 77}
	st, err := c.StartAttached(ctx, spec)
	if err != nil {
		return err
	}
	defer st.Close()
	if _, err := check.Await(ctx, st, "size 33 77"); err != nil {
		return err
	}
	if err := st.Resize(execapi.Size{Rows: 11, Columns: 22}); err != nil {
		return err
	}
	if _, err := check.Await(ctx, st, "size 11 22"); err != nil {
		return err
	}
	if _, err := st.Write([]byte{3}); err != nil { // Ctrl-C
		return err
	}
	o, err := check.Collect(ctx, st)
	if err != nil {
		return err
	}
	if o.Final.Code != 3 {
		return check.Failf("a program that Ctrl-C interrupts has the end %+v", o.Final)
	}
	return nil
}

func inputEnds(ctx context.Context, c *execapi.Client) error {
	spec := check.ProbeSpec("cat")
	spec.Stdin = true
	st, err := c.StartAttached(ctx, spec)
	if err != nil {
		return err
	}
	defer st.Close()
	if _, err := st.Write([]byte("standard input")); err != nil {
		return err
	}
	if err := st.CloseInput(); err != nil {
		return err
	}
	o, err := check.Collect(ctx, st)
	if err != nil {
		return err
	}
	if o.Output != "standard input" || o.Final.Reason != execapi.Exited {
		return check.Failf("a program that prints its standard input prints %q and has the end %+v", o.Output, o.Final)
	}
	return nil
}

// lineBytes is what one line of the probe's lines has.
const lineBytes = 8

// numbered is the output of the probe's lines from an offset up to another.
func numbered(from, to int64) string {
	var b strings.Builder
	for line := from / lineBytes; int64(b.Len()) < to-from+lineBytes; line++ {
		fmt.Fprintf(&b, "%07d\n", line)
	}
	return b.String()[from%lineBytes:][:to-from]
}

func outputOutlivesConnection(ctx context.Context, e *check.Env) error {
	_, c, err := e.Execs(ctx, check.Start{})
	if err != nil {
		return err
	}
	const many = 1000
	spec := check.ProbeSpec("lines", fmt.Sprint(many))
	spec.Stdin = true
	st, err := c.StartAttached(ctx, spec)
	if err != nil {
		return err
	}
	if _, err := st.Write([]byte("1")); err != nil {
		return err
	}
	if _, err := check.Await(ctx, st, fmt.Sprintf("%07d\n", many-1)); err != nil {
		return err
	}
	st.Close() // the connection breaks
	const offset = 3005
	var attached [2]*execapi.Stream
	for i := range attached {
		if attached[i], err = c.Attach(ctx, st.Exec.ID, offset); err != nil {
			return check.Failf("an exec whose connection has broken cannot be attached to: %v", err)
		}
		defer attached[i].Close()
	}
	if _, err := attached[0].Write([]byte("2")); err != nil {
		return err
	}
	if err := attached[0].CloseInput(); err != nil {
		return err
	}
	for _, st := range attached {
		o, err := check.Collect(ctx, st)
		if err != nil {
			return err
		}
		if o.Output != numbered(offset, 2*many*lineBytes) || len(o.Gaps) > 0 {
			return check.Failf("from the offset %d on the output is %d bytes that begin with %.20q, with the gaps %v", offset, len(o.Output), o.Output, o.Gaps)
		}
	}
	return gapIsTold(ctx, c)
}

// gapIsTold prints more than is kept, to no client.
func gapIsTold(ctx context.Context, c *execapi.Client) error {
	const all = 3 << 20
	spec := check.ProbeSpec("lines", fmt.Sprint(all/lineBytes))
	spec.Stdin = true
	st, err := c.StartAttached(ctx, spec)
	if err != nil {
		return err
	}
	defer st.Close()
	if _, err := st.Write([]byte("1")); err != nil {
		return err
	}
	if err := st.CloseInput(); err != nil {
		return err
	}
	if _, err := check.Collect(ctx, st); err != nil {
		return err
	}
	if st, err = c.Attach(ctx, st.Exec.ID, 0); err != nil {
		return check.Failf("an exec that has ended cannot be attached to: %v", err)
	}
	o, err := check.Collect(ctx, st)
	if err != nil {
		return err
	}
	if len(o.Output) < 1<<20 || len(o.Gaps) != 1 || o.Gaps[0] != (execapi.Gap{To: int64(all - len(o.Output))}) || o.Output != numbered(o.Gaps[0].To, all) {
		return check.Failf("of %d bytes there are %d, and the gaps %v; at least 1 MiB is kept, and the rest is one gap", all, len(o.Output), o.Gaps)
	}
	return nil
}

func descendantsEnd(ctx context.Context, e *check.Env) error {
	s, c, err := e.Execs(ctx, check.Start{})
	if err != nil {
		return err
	}
	x, err := c.Start(ctx, check.ProbeSpec("scatter", "/tmp/removed"))
	if err != nil {
		return err
	}
	if err := s.WaitFile(ctx, "/tmp/removed"); err != nil {
		return err
	}
	if err := c.Remove(ctx, x.ID); err != nil {
		return err
	}
	if err := gone(ctx, s, "/tmp/removed", "the end of a descendant after the removal of its exec"); err != nil {
		return err
	}
	for timeout := time.Second; ; timeout *= 2 {
		final, err := scattered(ctx, c, timeout)
		if err != nil {
			return err
		}
		// A busy machine may have needed longer to start the descendant.
		if code, _, err := s.Exec(ctx, "0", check.Probe, "exists", "/tmp/timeout"); err != nil {
			return err
		} else if code != 0 {
			continue
		}
		if err := gone(ctx, s, "/tmp/timeout", "the end of a descendant after the timeout of its exec"); err != nil {
			return err
		}
		if final.Reason != execapi.TimedOut {
			return check.Failf("an exec that reaches its timeout has the end %+v", final)
		}
		return nil
	}
}

// scattered runs an exec with a timeout to its end.
func scattered(ctx context.Context, c *execapi.Client, timeout time.Duration) (execapi.Final, error) {
	spec := check.ProbeSpec("scatter", "/tmp/timeout")
	spec.Timeout = timeout
	st, err := c.StartAttached(ctx, spec)
	if err != nil {
		return execapi.Final{}, err
	}
	o, err := check.Collect(ctx, st)
	return o.Final, err
}

// gone waits for the end of a process that has left its number in a file.
func gone(ctx context.Context, s *check.Sandbox, file, what string) error {
	pid, err := s.RunAs(ctx, "0", "read", file)
	if err != nil {
		return err
	}
	return check.Eventually(ctx, what, func() (bool, error) {
		code, out, err := s.Exec(ctx, "0", check.Probe, "exists", "/proc/"+pid)
		if err == nil && code > 1 {
			err = fmt.Errorf("the probe ended with %d: %s", code, out)
		}
		return err == nil && code == 1, err
	})
}
