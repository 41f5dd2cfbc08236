package execd

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	"github.com/matrx/sandbox/internal/execapi"
	"github.com/matrx/sandbox/internal/tarstream"
)

// notes are what a copy leaves out.
type notes struct {
	mu   sync.Mutex
	list []string
}

func (n *notes) add(name, reason string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case len(n.list) < execapi.MaxNotes:
		n.list = append(n.list, fmt.Sprintf("left out %.200q: %.200s", name, reason))
	case len(n.list) == execapi.MaxNotes:
		n.list = append(n.list, "and more")
	}
}

// started writes nothing before the first byte, so that an error that comes before it is an answer.
type started struct {
	http.ResponseWriter
	yes bool
}

func (s *started) Write(b []byte) (int, error) {
	if !s.yes {
		s.yes = true
		s.Header().Set("Trailer", execapi.TrailerProblem+", "+execapi.TrailerNotes)
		s.Header().Set("Content-Type", "application/x-tar")
	}
	return s.ResponseWriter.Write(b)
}

func tarOut(w http.ResponseWriter, r *http.Request, path string) (any, error) {
	var left notes
	out := &started{ResponseWriter: w}
	err := tarstream.Pack(out, path, tarstream.PackOptions{Follow: asked{r}.yes("follow"), Note: left.add})
	if err != nil && !out.yes {
		return nil, failed(err)
	}
	if err != nil {
		setTrailer(w, failed(err))
	}
	if b, jerr := json.Marshal(left.list); jerr == nil && len(left.list) > 0 {
		w.Header().Set(execapi.TrailerNotes, string(b))
	}
	return nil, nil
}

func tarIn(_ http.ResponseWriter, r *http.Request, path string) (any, error) {
	var left notes
	err := tarstream.Unpack(r.Body, path, tarstream.UnpackOptions{Into: asked{r}.yes("into"), Note: left.add})
	return execapi.Unpacked{Notes: left.list}, failed(err)
}
