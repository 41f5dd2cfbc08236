package tree

import (
	"math"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
)

// Info is what lstat(2) says of an entry.
type Info struct {
	journal.Stat        // what tells one version of a file from the next
	Mode         uint32 // st_mode, with the type bits
	UID, GID     uint32
	Nlink        uint64
	Dev          uint64
	Blocks       int64 // of 512 bytes that are really allocated
}

// IsDir is one of the three kinds that are kept in S3.
func (i Info) IsDir() bool { return i.Mode&unix.S_IFMT == unix.S_IFDIR }

// IsRegular is one of them.
func (i Info) IsRegular() bool { return i.Mode&unix.S_IFMT == unix.S_IFREG }

// IsSymlink is one of them.
func (i Info) IsSymlink() bool { return i.Mode&unix.S_IFMT == unix.S_IFLNK }

// SameContent compares what a rename leaves as it is: a rename changes ctime.
func (i Info) SameContent(s journal.Stat) bool {
	return i.Size == s.Size && i.Mtime == s.Mtime && i.Ino == s.Ino
}

func info(st *unix.Stat_t) Info {
	return Info{
		Stat: journal.Stat{
			Size:  st.Size,
			Mtime: nanoseconds(st.Mtim),
			Ctime: nanoseconds(st.Ctim),
			Ino:   st.Ino,
		},
		Mode:   st.Mode,
		UID:    st.Uid,
		GID:    st.Gid,
		Nlink:  uint64(st.Nlink),
		Dev:    uint64(st.Dev),
		Blocks: st.Blocks,
	}
}

// nanoseconds is a time since the epoch. One that 64 bits do not hold (after the year 2262) is the
// last, or the first, that they do: [unix.Timespec.Nano] would come round to another century.
func nanoseconds(t unix.Timespec) int64 {
	const second = 1_000_000_000
	switch {
	case t.Sec >= math.MaxInt64/second:
		return math.MaxInt64
	case t.Sec <= math.MinInt64/second:
		return math.MinInt64
	}
	return t.Nano()
}

// Fstat is Info of an open descriptor.
func Fstat(fd uintptr) (Info, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(fd), &st); err != nil {
		return Info{}, pathError("fstat", "", err)
	}
	return info(&st), nil
}
