package cold_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestReadersOfReplacedFile reads a file that is written anew beside and renamed over all the time, as
// editors and package managers do: each read finds one version, whole.
func TestReadersOfReplacedFile(t *testing.T) {
	for name, c := range map[string]struct {
		flags int
		quiet time.Duration // uploads go on meanwhile, or do not
	}{
		"buffered": {0, time.Hour}, "direct": {unix.O_DIRECT, time.Hour},
		"buffered, uploaded": {0, time.Millisecond}, "direct, uploaded": {unix.O_DIRECT, time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, quiet(c.quiet))
			replaceWhileReading(t, b, c.flags)
		})
	}
}

func replaceWhileReading(t *testing.T, b *bed, flags int) {
	const versions, readers = 400, 3
	write := func(i int) error {
		tmp := b.path(fmt.Sprint("f.", i%7))
		body := repeat(byte('a'+i%26), 5000+i%4000)
		if err := os.WriteFile(tmp, body, 0o644); err != nil {
			return err
		}
		return os.Rename(tmp, b.path("f"))
	}
	if err := write(0); err != nil {
		t.Fatal(err)
	}
	var done atomic.Bool
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			buf := alignedBuffer(16 << 10)
			for !done.Load() && !t.Failed() {
				if err := readVersion(b.path("f"), flags, buf); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := 1; i < versions && !t.Failed(); i++ {
		if err := write(i); err != nil {
			t.Error(err)
		}
	}
	done.Store(true)
	wg.Wait()
}

// readVersion reads a file that holds one letter, whose number tells the file's length.
func readVersion(name string, flags int, buf []byte) error {
	f, err := os.OpenFile(name, os.O_RDONLY|flags, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	n := 0
	for {
		m, err := f.Read(buf[n:])
		n += m
		if err == io.EOF || err == nil && n == len(buf) {
			break
		}
		if err != nil {
			return fmt.Errorf("after %d bytes: %w", n, err)
		}
		if flags&unix.O_DIRECT != 0 && n%512 != 0 {
			break // the end: the next read would not be aligned
		}
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	switch {
	case n == 0:
		return fmt.Errorf("reads nothing of %d bytes", info.Size())
	case int64(n) != info.Size():
		return fmt.Errorf("reads %d bytes of %d", n, info.Size())
	case n < 5000 || bytes.Count(buf[:n], buf[:1]) != n || buf[0] < 'a' || buf[0] > 'z':
		return fmt.Errorf("reads %d bytes that are no version of the file: it begins %q, and ends %q", n, buf[:10], buf[n-10:n])
	}
	return nil
}

// alignedBuffer is memory as O_DIRECT needs it.
func alignedBuffer(n int) []byte {
	b, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		panic(err)
	}
	return b
}
