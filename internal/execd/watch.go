package execd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/execapi"
)

// watched are the events of inotify(7) that are told.
const watched = unix.IN_CREATE | unix.IN_CLOSE_WRITE | unix.IN_ATTRIB | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR

func (s *Server) watchFiles(w http.ResponseWriter, r *http.Request) (any, error) {
	path, err := asked{r}.path("path")
	if err != nil {
		return nil, err
	}
	if !wantsStream(r) {
		return nil, execapi.ErrInvalid.Because("to watch takes an upgrade to %s", execapi.Protocol)
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, execapi.ErrTooMany.Because("cannot watch %q: %v; the limit on watchers may be reached (fs.inotify.max_user_instances)", path, err)
	}
	f := os.NewFile(uintptr(fd), "inotify") // read in the poller, not in a thread
	defer f.Close()
	gated(func() { _, err = unix.InotifyAddWatch(fd, path, watched) })
	if err != nil {
		return nil, failed(&fs.PathError{Op: "watch", Path: path, Err: err})
	}
	conn, from, err := upgrade(w)
	if conn == nil {
		return nil, err
	}
	defer conn.Close()
	go func() { // the client says nothing; its end is the watch's
		_, _ = io.Copy(io.Discard, from)
		f.Close()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := f.Read(buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, nil
		}
		for _, c := range changes(buf[:n]) {
			if execapi.WriteJSON(conn, execapi.FrameChange, c) != nil || c.Kind == "gone" {
				return nil, nil
			}
		}
	}
}

// changes reads struct inotify_event.
func changes(b []byte) (list []execapi.Change) {
	for len(b) >= unix.SizeofInotifyEvent {
		mask := binary.NativeEndian.Uint32(b[4:])
		size := int(binary.NativeEndian.Uint32(b[12:]))
		if len(b) < unix.SizeofInotifyEvent+size {
			break
		}
		name := bytes.TrimRight(b[unix.SizeofInotifyEvent:unix.SizeofInotifyEvent+size], "\x00")
		b = b[unix.SizeofInotifyEvent+size:]
		for _, k := range kinds() {
			if mask&k.mask != 0 {
				list = append(list, execapi.Change{Name: string(name), Kind: k.name})
				break
			}
		}
	}
	return list
}

type changeKind struct {
	mask uint32
	name string
}

func kinds() []changeKind {
	return []changeKind{
		{unix.IN_Q_OVERFLOW, "lost"}, {unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_IGNORED | unix.IN_UNMOUNT, "gone"},
		{unix.IN_CREATE, "created"}, {unix.IN_CLOSE_WRITE, "written"}, {unix.IN_ATTRIB, "attributes"},
		{unix.IN_DELETE, "removed"}, {unix.IN_MOVED_FROM, "moved-from"}, {unix.IN_MOVED_TO, "moved-to"},
	}
}
