package execd

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/execapi"
)

// The files are the agent's own, and what may be done to them is the kernel's to say: no path is checked here.

// asked are the parameters of a request about a file.
type asked struct {
	r *http.Request
}

func (a asked) path(name string) (string, error) {
	p := a.r.URL.Query().Get(name)
	if p == "" || strings.ContainsRune(p, 0) {
		return "", execapi.ErrInvalid.Because("the parameter %s is %q: it must be a path, of any bytes but NUL", name, p)
	}
	return p, nil
}

func (a asked) yes(name string) bool {
	v := a.r.URL.Query().Get(name)
	return v == "1" || v == "true"
}

// mode reads permissions in octal digits.
func (a asked) mode(missing uint32) (uint32, error) {
	text := a.r.URL.Query().Get("mode")
	if text == "" {
		return missing, nil
	}
	n, err := strconv.ParseUint(text, 8, 32)
	if err != nil || n > 0o7777 {
		return 0, execapi.ErrInvalid.Because("the mode %q is wrong: it must be octal digits, at most 7777", text)
	}
	return uint32(n), nil
}

func (a asked) number(name string, missing int64) (int64, error) {
	text := a.r.URL.Query().Get(name)
	if text == "" {
		return missing, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, execapi.ErrInvalid.Because("the parameter %s is %q: it must be a number", name, text)
	}
	return n, nil
}

// failed gives an error of the kernel its kind.
func failed(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return execapi.ErrNotFound.Because("%v", err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return execapi.ErrDenied.Because("%v", err)
	case errors.Is(err, fs.ErrExist):
		return execapi.ErrExists.Because("%v", err)
	}
	if p, ok := errors.AsType[*execapi.Problem](err); ok {
		return p
	}
	return execapi.ErrFailed.Because("%v", err)
}

func (s *Server) fileRoutes() map[string]handler {
	return map[string]handler{
		"GET /v1/files/stat":    s.statFile,
		"GET /v1/files/list":    s.listFiles,
		"GET /v1/files/content": s.onContent(readFile),
		"PUT /v1/files/content": s.onContent(putFile),
		"POST /v1/files/append": s.onContent(appendFile),
		"POST /v1/files/mkdir":  onPath(makeDir),
		"POST /v1/files/rename": onPath(rename),
		"POST /v1/files/remove": onPath(removeFile),
		"POST /v1/files/chmod":  onPath(chmod),
		"GET /v1/files/tar":     s.onContent(tarOut),
		"PUT /v1/files/tar":     s.onContent(tarIn),
		"GET /v1/files/watch":   s.watchFiles,
	}
}

// onPath is a change of one file.
func onPath(change func(a asked, path string) error) handler {
	return func(_ http.ResponseWriter, r *http.Request) (any, error) {
		path, err := asked{r}.path("path")
		if err != nil {
			return nil, err
		}
		gated(func() { err = change(asked{r}, path) })
		return done{}, failed(err)
	}
}

func makeDir(a asked, path string) error {
	mode, err := a.mode(0o755)
	if err != nil {
		return err
	}
	if a.yes("parents") {
		return os.MkdirAll(path, os.FileMode(mode&0o777))
	}
	return os.Mkdir(path, os.FileMode(mode&0o777))
}

func rename(a asked, path string) error {
	to, err := a.path("to")
	if err != nil {
		return err
	}
	return os.Rename(path, to)
}

func removeFile(a asked, path string) error {
	if a.yes("all") {
		return os.RemoveAll(path)
	}
	return os.Remove(path)
}

func chmod(a asked, path string) error {
	mode, err := a.mode(0)
	if err != nil {
		return err
	}
	if err := unix.Chmod(path, mode); err != nil {
		return &fs.PathError{Op: "chmod", Path: path, Err: err}
	}
	return nil
}

func (s *Server) statFile(_ http.ResponseWriter, r *http.Request) (any, error) {
	path, err := asked{r}.path("path")
	if err != nil {
		return nil, err
	}
	var f execapi.File
	gated(func() { f, err = look(path, asked{r}.yes("follow")) })
	if err != nil {
		return nil, failed(err)
	}
	return f, nil
}

func look(path string, follow bool) (execapi.File, error) {
	stat := os.Lstat
	if follow {
		stat = os.Stat
	}
	info, err := stat(path)
	if err != nil {
		return execapi.File{}, err
	}
	f := execapi.File{Name: filepath.Base(path), Kind: kind(info.Mode()), Size: info.Size(), Changed: info.ModTime().UTC()}
	if !utf8.ValidString(f.Name) {
		f.Raw = []byte(f.Name)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		f.Mode, f.UID, f.GID = st.Mode&0o7777, st.Uid, st.Gid
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		f.Target, err = os.Readlink(path)
	}
	return f, err
}

func kind(m fs.FileMode) string {
	switch {
	case m.IsRegular():
		return "file"
	case m.IsDir():
		return "directory"
	case m&fs.ModeSymlink != 0:
		return "link"
	case m&fs.ModeNamedPipe != 0:
		return "fifo"
	case m&fs.ModeSocket != 0:
		return "socket"
	}
	return "device"
}

// listAtOnce is how many names are read at a time: a directory may have any number.
const listAtOnce = 256

func (s *Server) listFiles(w http.ResponseWriter, r *http.Request) (any, error) {
	path, err := asked{r}.path("path")
	if err != nil {
		return nil, err
	}
	var dir *os.File
	gated(func() { dir, err = os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, 0) })
	if err != nil {
		return nil, failed(err)
	}
	defer dir.Close()
	var first []execapi.File
	if first, err = names(dir, path); err != nil && !errors.Is(err, io.EOF) {
		return nil, failed(err)
	}
	w.Header().Set("Trailer", execapi.TrailerProblem)
	w.Header().Set("Content-Type", "application/jsonl")
	out := json.NewEncoder(w)
	for list := first; ; list, err = names(dir, path) {
		for _, f := range list {
			if out.Encode(f) != nil {
				return nil, nil
			}
		}
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		if err != nil {
			setTrailer(w, failed(err))
			return nil, nil
		}
	}
}

func names(dir *os.File, path string) (list []execapi.File, err error) {
	gated(func() {
		var found []string
		found, err = dir.Readdirnames(listAtOnce)
		for _, name := range found {
			f, lerr := look(path+"/"+name, false)
			if lerr == nil { // else it has gone meanwhile
				list = append(list, f)
			}
		}
	})
	return list, err
}

func setTrailer(w http.ResponseWriter, err error) {
	b, jerr := json.Marshal(err)
	if jerr == nil {
		w.Header().Set(execapi.TrailerProblem, string(b))
	}
}
