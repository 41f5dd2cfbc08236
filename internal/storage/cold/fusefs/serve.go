// Package fusefs shows the cold path's tree to programs: it speaks FUSE with the kernel for a mount that
// PID 1 has made.
//
// It translates requests into operations of the tree and keeps what is the kernel's alone: file handles,
// and that a request goes on for a while after its program got a signal. It has no lock while the tree works.
package fusefs

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"runtime/debug"
	"strings"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/storage/cold"
)

const (
	// maxWrite is the largest request, and so the buffer that each one under way has.
	maxWrite = 256 << 10

	// inFlight bounds the buffers of requests under way, in bytes.
	inFlight = 32 << 20
)

// Serve serves the FUSE descriptor of a mount until that is unmounted or ctx ends. It takes the
// descriptor over. started is called when the kernel has been answered for the first time; an
// error before that means that nothing is served.
func Serve(ctx context.Context, tree *cold.FS, fd int, l *slog.Logger, started func()) error {
	b := newBridge(tree)
	server, err := newServer(b, fd, l)
	if err != nil {
		return fmt.Errorf("cannot serve the cold path's mount: %w", err)
	}
	b.server = server
	tree.Mount(b)
	if started != nil {
		started()
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		server.Serve()
	}()
	select {
	case <-ended:
		b.unmounted()
		return nil
	case <-ctx.Done():
		// Its reader waits in the kernel until the mount goes; the process ends with ctx.
		return context.Cause(ctx)
	}
}

// newServer answers the kernel's first request. go-fuse takes a descriptor that is mounted already
// in the form /dev/fd/N, and as its own only when that succeeds; so it gets a copy.
func newServer(b *bridge, fd int, l *slog.Logger) (*fuse.Server, error) {
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	unix.Close(fd)
	if err != nil {
		return nil, err
	}
	return fuse.NewServer(b, fmt.Sprintf("/dev/fd/%d", own), &fuse.MountOptions{
		Name:                     "cold",
		MaxWrite:                 maxWrite,
		MaxBackground:            64,
		MaxInflightRequestBytes:  inFlight,
		DisableXAttrs:            true,
		ExplicitDataCacheControl: true, // a node is one version: there is nothing to guess from mtime
		EnableSymlinkCaching:     true,
		Logger:                   log.New(logWriter{l}, "", 0),
		PanicHandler: func(v any) fuse.Status {
			l.Error("a request of the cold path failed in an unexpected way; it was answered with EIO",
				"event", "cold_panic", "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			return fuse.EIO
		},
	})
}

// logWriter takes what go-fuse logs.
type logWriter struct{ log *slog.Logger }

func (w logWriter) Write(b []byte) (int, error) {
	w.log.Debug(strings.TrimSpace(string(b)), "event", "cold_fuse")
	return len(b), nil
}

// unmounted closes what only that mount knew.
func (b *bridge) unmounted() {
	b.mu.Lock()
	files := b.files
	b.files, b.folders = map[uint64]*cold.Handle{}, map[uint64]*cold.Dir{}
	b.mu.Unlock()
	for _, h := range files {
		h.Close()
	}
	b.tree.Unmount(b)
}
