package lifecycle

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/pid1/privilege"
	"github.com/matrx/sandbox/internal/wire"
)

// coldState is where the cold path's mount stands.
type coldState int

const (
	coldAbsent coldState = iota // not mounted
	coldAsked                   // mounted, and storage has the descriptor
	coldServed
)

// coldDirectory makes the directory below the mount: root's and closed to writers, so
// that nothing is written beside the mount while it is away. The sandbox does without
// it when it cannot be made.
func (s *sandbox) coldDirectory() {
	path := s.Config.ColdPath
	err := os.MkdirAll(path, 0o755)
	if err == nil && s.Mode == privilege.Root {
		err = closeToWriters(path)
	}
	if err != nil {
		s.log.Warn("the cold path's directory cannot be made", "event", "cold_directory", "error", err.Error())
	}
}

// closeToWriters makes a directory root's, and lets no user write to it. One that is so already,
// as in every image, is left alone: the root file system may be read-only.
func closeToWriters(path string) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return err
	}
	if st.Uid == 0 && st.Gid == 0 && st.Mode&0o7777 == 0o555 {
		return nil
	}
	if err := os.Lchown(path, 0, 0); err != nil {
		return err
	}
	return os.Chmod(path, 0o555)
}

// mountCold mounts COLD_PATH and hands the descriptor to storage, for good: were it
// open here as well, a dead server would hang its users instead of failing them.
func (s *sandbox) mountCold() {
	fd, err := mountFuse(s.Config.ColdPath, s.Mode)
	if err != nil {
		s.coldUnavailable(err.Error())
		return
	}
	s.cold = coldAsked
	s.storage.send(wire.Message{Cold: &wire.Cold{}}, fd)
	unix.Close(fd)
}

// mountFuse opens /dev/fuse and mounts it (fuse(4), mount(2)); libfuse's fusermount
// would need a SUID bit. The kernel's first question waits until a server reads.
func mountFuse(path string, mode privilege.Mode) (fd int, err error) {
	if mode != privilege.Root {
		return -1, fmt.Errorf("cannot mount %s: sandbox-init runs as UID %d; start the container as root with --cap-add SYS_ADMIN --device /dev/fuse", path, os.Geteuid())
	}
	fd, err = unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("cannot mount %s: open /dev/fuse: %w; start the container with --device /dev/fuse", path, err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%d,allow_other,default_permissions", fd, contract.AgentUID, contract.AgentGID)
	err = unix.Mount("cold", path, "fuse.sandbox", unix.MS_NOSUID|unix.MS_NODEV, options)
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("cannot mount %s: %w; start the container with --cap-add SYS_ADMIN --device /dev/fuse, and where AppArmor is, --security-opt apparmor=unconfined", path, err)
	}
	return fd, nil
}

func (s *sandbox) coldUnavailable(reason string) {
	s.log.Warn("the cold path is unavailable; sandbox-init cold ls, get and put reach it", "event", "cold_unavailable", "reason", reason)
	s.cold = coldAbsent
	s.state.update(func(st *contract.State) { st.Cold, st.ColdReason = contract.ColdUnavailable, reason })
}

// coldAnswer is what storage made of the descriptor.
func (s *sandbox) coldAnswer(failed *wire.ColdFailed) {
	if failed != nil {
		s.detachCold()
		s.coldUnavailable(failed.Reason)
		return
	}
	s.cold = coldServed
	s.state.update(func(st *contract.State) { st.Cold, st.ColdReason = contract.ColdMounted, "" })
}

// coldLost follows the storage process's death. What was open gets ENOTCONN, and so
// would everything else until the dead mount is gone.
func (s *sandbox) coldLost() {
	if s.cold == coldAbsent {
		return
	}
	s.detachCold()
	s.state.update(func(st *contract.State) {
		st.Cold, st.ColdReason = contract.ColdUnavailable, "the storage process is being started again"
	})
}

// detachCold takes the mount out of the tree now, although files in it may still be open.
func (s *sandbox) detachCold() {
	s.cold = coldAbsent
	s.reportUnmount(detach(s.Config.ColdPath))
}

// unmountCold ends the mount while its server still lives, so that nothing that was
// written is cut off. It is waited for only so long: a server that is stuck must not
// keep the sandbox from ending.
func (s *sandbox) unmountCold() {
	if s.cold == coldAbsent {
		return
	}
	s.cold = coldAbsent
	result := make(chan error, 1)
	path := s.Config.ColdPath
	go func() { result <- detach(path) }()
	giveUp := time.NewTimer(time.Second)
	defer giveUp.Stop()
	select {
	case err := <-result:
		s.reportUnmount(err)
	case <-giveUp.C:
		s.reportUnmount(errors.New("its server does not answer"))
	}
	s.state.update(func(st *contract.State) { st.Cold = contract.ColdNone })
}

func detach(path string) error { return unix.Unmount(path, unix.MNT_DETACH) }

func (s *sandbox) reportUnmount(err error) {
	if err != nil {
		s.log.Error("cannot unmount the cold path", "event", "cold_unmount", "path", s.Config.ColdPath, "error", err.Error())
	}
}
