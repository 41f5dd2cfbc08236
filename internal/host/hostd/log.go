package hostd

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// maxLog is the size at which a log is put aside; the one that was put aside before goes. So a daemon's logs
// never take more than twice that, for all requests that its sandboxes can send.
const maxLog = 4 << 20

// boundedLog writes to the daemon's log, which is also its standard error: what the runtime writes of a
// crash goes there too.
type boundedLog struct {
	mu   sync.Mutex
	path string
	file *os.File
}

func (l *boundedLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if fi, err := l.file.Stat(); err == nil && fi.Size() > 0 && fi.Size()+int64(len(b)) > maxLog {
		l.putAside() // else it grows until that succeeds
	}
	return l.file.Write(b)
}

// putAside begins a new file. The descriptor stays the same, so all that write to it do so to the new one.
func (l *boundedLog) putAside() {
	// The guard, another process, may have done it: then the path leads elsewhere.
	held, err := l.file.Stat()
	if there, terr := os.Stat(l.path); err == nil && terr == nil && os.SameFile(held, there) {
		if os.Rename(l.path, l.path+".1") != nil {
			return
		}
	}
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	_ = unix.Dup3(int(f.Fd()), int(l.file.Fd()), unix.O_CLOEXEC)
}

// NewLogger is the logger of a daemon's process, and its guard's: JSON lines, to standard error. Where that is
// the data directory's log, it is bounded.
func NewLogger(d datadir.Dir) *slog.Logger {
	l := &boundedLog{path: filepath.Join(d.Hostd(), logName), file: os.Stderr}
	held, err := os.Stderr.Stat()
	if there, terr := os.Stat(l.path); err != nil || terr != nil || !os.SameFile(held, there) {
		return newLogger(os.Stderr).With("pid", os.Getpid()) // a supervisor's
	}
	log := newLogger(l).With("pid", os.Getpid())
	captureOutput(log)
	return log
}

// maxText bounds a text in a line: some are what a sandbox has sent.
const maxText = 512

func newLogger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		switch a.Value.Kind() {
		case slog.KindString:
			a.Value = slog.StringValue(cut(a.Value.String()))
		case slog.KindAny: // errors
			if a.Key != slog.LevelKey {
				a.Value = slog.StringValue(cut(fmt.Sprint(a.Value.Any())))
			}
		}
		return a
	}}))
}

func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	return fmt.Sprintf("%s... (%d bytes)", s[:maxText], len(s))
}

// logOutput is descriptor 2, which is the log, also after captureOutput has replaced os.Stderr.
var logOutput = os.Stderr

// captureOutput has what libraries print logged as well, so that it is bounded: the embedded S3
// prints each of its internal errors, which a sandbox can cause.
func captureOutput(log *slog.Logger) {
	r, w, err := os.Pipe()
	if err != nil {
		log.Error("the output of libraries is not bounded", "event", "output_unbounded", "error", err.Error())
		return
	}
	os.Stdout, os.Stderr = w, w
	go func() {
		lines := bufio.NewReaderSize(r, 4*maxText)
		for {
			line, more, err := lines.ReadLine()
			if err != nil {
				return
			}
			log.Warn("a library has printed a line", "event", "library_output", "line", string(line))
			for more && err == nil { // the rest of a long line is left out
				_, more, err = lines.ReadLine()
			}
		}
	}()
}
