package tarstream

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// ErrCut says that a stream has ended before its end.
var ErrCut = errors.New("the archive ends too early")

// stream reads an archive from a sender that is not trusted.
type stream struct {
	tar  *tar.Reader
	from *watched
	top  string // the first name of all; "" when any may be
	free bool   // any names: an archive of the operator's own
	one  bool   // nothing follows
}

// watched remembers whether the end has been seen. An archive ends with two empty blocks, and
// tar.Reader stops there; what ends without them it takes for complete.
type watched struct {
	io.Reader
	over bool
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.Reader.Read(b)
	if err == io.EOF && n == 0 {
		w.over = true
	}
	return n, err
}

func newStream(r io.Reader, free bool) *stream {
	from := &watched{Reader: r}
	return &stream{tar: tar.NewReader(from), from: from, free: free}
}

// drainMost is what is read behind the end: padding, so that the sender is not cut off.
const drainMost = 1 << 20

// next gives the next entry, and its name below the top: "." is the top itself.
// io.EOF is the end.
func (s *stream) next() (h *tar.Header, name string, err error) {
	for {
		h, err = s.tar.Next()
		switch {
		case errors.Is(err, io.EOF) && s.from.over, errors.Is(err, io.ErrUnexpectedEOF):
			return nil, "", ErrCut
		case errors.Is(err, io.EOF):
			_, _ = io.CopyN(io.Discard, s.from, drainMost)
			return nil, "", io.EOF
		case errors.Is(err, tar.ErrHeader):
			return nil, "", errors.New("it is no tar archive (one that is compressed must be unpacked first)")
		case err != nil:
			return nil, "", fmt.Errorf("cannot read the archive: %w", err)
		}
		if h.Typeflag != tar.TypeXGlobalHeader {
			break
		}
	}
	if sparse(h) {
		return nil, "", fmt.Errorf("the archive has a sparse file, %q, whose length may be any: make it without --sparse", h.Name)
	}
	if name, err = s.below(h.Name); err != nil {
		return nil, "", err
	}
	if h.Typeflag == tar.TypeLink {
		if h.Linkname, err = s.below(h.Linkname); err != nil {
			return nil, "", err
		}
	}
	h.Mode &= permissions
	return h, name, nil
}

// sparse says whether the length is not that of what is sent.
func sparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// below checks a name, and gives it relative to the top. The first one is the top.
func (s *stream) below(name string) (string, error) {
	clean := filepath.Clean(name)
	if name == "" || strings.ContainsRune(name, 0) || filepath.IsAbs(clean) || !filepath.IsLocal(clean) {
		return "", fmt.Errorf("the archive has the name %q, which leads out of the destination; nothing is written there", name)
	}
	if s.free {
		return clean, nil
	}
	if s.top == "" {
		if strings.Contains(clean, "/") {
			return "", fmt.Errorf("the archive begins with the name %q, not with what was asked for", name)
		}
		s.top = clean
	}
	switch rest, ok := strings.CutPrefix(clean, s.top+"/"); {
	case clean == s.top:
		return ".", nil
	case s.one:
	case s.top == ".":
		return clean, nil
	case ok:
		return rest, nil
	}
	return "", fmt.Errorf("the archive has the name %q, which is not below %q", name, s.top)
}

func cut(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrCut
	}
	return err
}
