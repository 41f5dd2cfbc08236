package cold

import (
	"context"
	"syscall"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/storage/cold/pending"
)

// AttrChange is what SetAttr is asked for; nil means not.
type AttrChange struct {
	Mode         *uint32
	UID, GID     *uint32
	Size         *int64
	Atime, Mtime *int64 // nanoseconds since the epoch
}

// setattr changes attributes. The owner is always the agent: another one cannot be kept.
func (fl *files) setattr(ctx context.Context, n *node, ch AttrChange) error {
	if ch.UID != nil && *ch.UID != contract.AgentUID || ch.GID != nil && *ch.GID != contract.AgentGID {
		return syscall.EPERM
	}
	if ch.Size != nil {
		if err := fl.truncate(ctx, n, *ch.Size); err != nil {
			return err
		}
	}
	fl.mu.Lock()
	defer fl.mu.Unlock()
	now := time.Now()
	if ch.Atime != nil {
		n.own().atime = *ch.Atime
		n.ctime = now.UnixNano()
	}
	if n.displaced != "" {
		return syscall.ESTALE // by its path another file is found
	}
	if ch.Mode == nil && ch.Mtime == nil {
		if ch.UID != nil || ch.GID != nil {
			n.ctime = now.UnixNano()
		}
		return nil
	}
	was, had := *n, *n.extra
	t := fl.changes.begin()
	if ch.Mode != nil {
		n.mode, n.modeKnown = uint16(*ch.Mode&permMask), true
	}
	if ch.Mtime != nil {
		n.mtime, n.mtimeKnown, n.own().live = *ch.Mtime, true, false
	}
	n.changed(now)
	t.undo(func() {
		n.mode, n.modeKnown, n.mtime, n.mtimeKnown = was.mode, was.modeKnown, was.mtime, was.mtimeKnown
		n.ctime = was.ctime
		n.own().live, n.own().gen = had.live, had.gen
	})
	if n != fl.tree.root && n.parent != nil {
		t.want(n.objectPath(), n, n.remote())
	}
	return t.commit()
}

// truncate makes a file shorter or longer.
func (fl *files) truncate(ctx context.Context, n *node, size int64) error {
	if n.kind != pending.File {
		return syscall.EINVAL
	}
	if size > maxFile {
		return syscall.EFBIG
	}
	fl.mu.Lock()
	stale := n.displaced != "" && n.opens == 0 // by its path another file is found
	fl.mu.Unlock()
	if stale {
		return syscall.ESTALE
	}
	c, err := fl.beginWrite(ctx, n)
	if err != nil {
		return err
	}
	err = fl.withSpace(ctx, n, func() error { return c.file.Truncate(size) })
	fl.endWrite(n, c, err == nil)
	return err
}

// maxFile is the largest object that S3 stores, in bytes.
const maxFile = 5 << 40
