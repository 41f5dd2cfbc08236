package sigtramp

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sigtrampAddr is the address of the handler, which is no Go function.
func sigtrampAddr() uintptr

// The handler reads these; they are written before it is installed.
var (
	sigpipe    int32   // the pipe's writing end
	sigself    int32   // this process
	sigfaults  uint64  // bit n: signal n is a fault when the kernel sends it
	sigruntime uintptr // the runtime's handler
)

// Record is a signal with its sender as siginfo_t has them (sigaction(2)). The handler writes each
// in one write of less than PIPE_BUF.
type Record struct {
	Signal, Code, PID, UID int32
}

// Pipe has the signals that the handler was called for.
type Pipe struct{ file *os.File }

// Read waits for signals and returns how many records it has filled.
func (p Pipe) Read(records []Record) (n int, err error) {
	const size = int(unsafe.Sizeof(Record{}))
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(records))), size*len(records))
	read, err := p.file.Read(bytes)
	return read / size, err
}

// faults are the signals that the kernel sends for what a program does.
func faults() []syscall.Signal {
	return []syscall.Signal{unix.SIGILL, unix.SIGTRAP, unix.SIGABRT, unix.SIGBUS, unix.SIGFPE, unix.SIGSEGV, unix.SIGSYS}
}

// Install puts the handler in charge of all signals but SIGKILL, SIGSTOP and 33. It may be called
// once. Both ends of the pipe are non-blocking: when 4,096 signals have not been read, more
// of them are lost, as more than one of a kind always was.
func Install() (Pipe, error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return Pipe{}, fmt.Errorf("cannot make a pipe for signals: %w", err)
	}
	var action sigaction
	if err := rtSigaction(unix.SIGURG, nil, &action); err != nil {
		return Pipe{}, err
	}
	sigpipe, sigself, sigruntime = int32(p[1]), int32(os.Getpid()), action.handler
	for _, sig := range faults() {
		sigfaults |= 1 << sig
	}
	action.handler = sigtrampAddr()
	for sig := syscall.Signal(1); sig <= lastSignal; sig++ {
		if sig == unix.SIGKILL || sig == unix.SIGSTOP || sig == runtimeOwn {
			continue
		}
		if err := rtSigaction(sig, &action, nil); err != nil {
			return Pipe{}, err
		}
	}
	return Pipe{os.NewFile(uintptr(p[0]), "signals")}, nil
}

const (
	lastSignal = 64

	// runtimeOwn is sigPerThreadSyscall in the runtime. glibc keeps the same number for the same
	// purpose, and no program can handle it there.
	runtimeOwn = 33
)
