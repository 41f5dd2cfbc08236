package lifecycle

import (
	"errors"
	"io"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/wire"
)

// take acts on a message and says whether the state has changed. What an earlier
// process said before it died has all been taken before the next one is started.
func (t *storage) take(m message) bool {
	switch {
	case m.err != nil:
		if !errors.Is(m.err, io.EOF) {
			t.s.log.Error("the storage process cannot be understood and is killed", "event", "storage_garbled", "error", m.err.Error())
		}
		t.silent = true
		if t.status == nil {
			t.kill() // without a wire it must not go on writing
		}
		return t.died()
	case m.Hello != nil:
		t.hello()
	case m.Hydrated != nil:
		t.working(*m.Hydrated)
		return true
	case m.Failed != nil:
		t.s.log.Error("the workspace is not available", "event", "storage_refused", "code", m.Failed.Code, "error", m.Failed.Message)
		t.problem("%s", m.Failed.Message)
		if !t.hydrated {
			t.failed = m.Failed
		}
		return true
	case m.ColdReady != nil, m.ColdFailed != nil:
		t.s.coldAnswer(m.ColdFailed)
		return true
	case m.Problem != nil:
		t.problem("%s", m.Problem.Message)
	case m.Flushed != nil:
		t.flushed = m.Flushed
		return true
	}
	return false
}

// hello comes from a process whose memory no user but root can read from now on.
func (t *storage) hello() {
	t.said = true
	if !t.unbound && !t.outdated {
		t.tell()
	}
}

// tell sends the configuration and the credentials.
func (t *storage) tell() {
	credentials, err := readCredentials(t.s.Config, t.s.Environ)
	if err != nil {
		t.s.log.Error("the storage process gets no credentials", "event", "credentials_failed", "error", err.Error())
		t.kill() // and is started again later: a file that is being replaced comes back
		return
	}
	t.send(wire.Message{Start: &wire.Start{Config: *t.s.Config, Resume: t.hydrated, Credentials: credentials}})
}

// working is a storage process that has the workspace.
func (t *storage) working(h wire.Hydrated) {
	t.up, t.hydrated = true, true
	t.s.log.Info("the workspace is there", "event", "hydrated", "files", h.Files, "bytes", h.Bytes, "took", h.Took.String())
	t.s.state.update(func(st *contract.State) {
		st.Problem = ""
		if st.Hydrate == nil { // one that follows a killed one has not hydrated
			st.Hydrate = &contract.Transfer{Files: h.Files, Bytes: h.Bytes, Took: h.Took}
		}
	})
	if t.over || t.flushBy != nil {
		// No process is left to read the cold path; what is pending in its cache goes up with the flush.
	} else {
		t.s.mountCold()
	}
	if t.drainBy != nil {
		t.send(wire.Message{Drain: t.drainBy})
	}
	if t.flushBy != nil {
		t.send(wire.Message{Flush: t.flushBy})
	}
}

// send sends to the present process. A failure is its death, which the reader sees too.
func (t *storage) send(m wire.Message, fds ...int) {
	if t.conn == nil {
		return
	}
	if err := t.conn.Send(m, fds...); err != nil && !errors.Is(err, wire.ErrGone) {
		t.s.log.Error("the storage process cannot be told", "event", "storage_unreachable", "error", err.Error())
		t.kill()
	}
}

// drain and flush tell the present process, and each one that follows it.
func (t *storage) drain(by wire.Deadline) {
	if t == nil {
		return
	}
	t.drainBy = &by
	if t.up {
		t.send(wire.Message{Drain: &by})
	}
}

func (t *storage) flush(by wire.Deadline) {
	t.flushBy = &by
	if t.up {
		t.send(wire.Message{Flush: &by})
	} else if t.child == nil {
		t.restartAt = now()
	}
}
