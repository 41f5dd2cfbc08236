package execd

import (
	"errors"
	"io"
	"os"
	"strings"
)

// Bind lets requests wait for Ready: the sandbox is a user's. Those that come before are refused, since they cannot be
// meant for that user.
func (s *Server) Bind() { s.bound.Store(true) }

// isBound says whether PID 1 has said so. What it says to a server that is not bound can only be that, or the end; it
// says it before the client that has bound the sandbox has its answer, and that client's first request may be here
// before what PID 1 has said was read.
func (s *Server) isBound() bool {
	s.hearing.Lock()
	defer s.hearing.Unlock()
	return s.bound.Load() || s.told != nil && s.told()
}

// Ready lets requests through: the sandbox's files are there.
func (s *Server) Ready() {
	s.becoming.Do(func() {
		var err error
		if s.env, err = readEnviron(s.Environ); err != nil {
			s.Log.Error("execs lack the sandbox's environment", "event", "execd_environ", "error", err.Error())
		}
		close(s.ready)
	})
}

func readEnviron(f *os.File) (env []string, err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	list := make([]byte, info.Size())
	if len(list) == 0 {
		return nil, nil
	}
	if _, err := f.ReadAt(list, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	for kv := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		env = append(env, kv)
	}
	return env, nil
}
