package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// maxFDs is how many descriptors one packet may carry; the protocol needs one.
const maxFDs = 4

// ErrGone is what Send answers when the other process has ended.
var ErrGone = errors.New("the other process has ended")

// A Conn is one end of the socketpair. Send and Recv may be called side by side, each
// from any goroutine; Recv is meant for one. Both wait in the runtime's poller,
// so a Conn costs no thread, and Close wakes them.
//
// Package net is not used: it would add its resolver and its tables to PID 1.
type Conn struct {
	file *os.File
	raw  syscall.RawConn
	buf  []byte // Recv's; the whole of MaxPacket, touched only as far as packets reach
}

// Pair makes a socketpair: parent stays, child is passed on as descriptor FD (with
// os/exec: ExtraFiles[0]) and must be closed here once the child runs, else its death
// goes unseen. Both are close-on-exec.
func Pair() (parent *Conn, child *os.File, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make the socketpair for the storage process: %w", err)
	}
	parent, err = newConn(fds[0])
	if err != nil {
		syscall.Close(fds[1])
		return nil, nil, err
	}
	return parent, os.NewFile(uintptr(fds[1]), "wire-child"), nil
}

// Inherited is the storage process's end, at descriptor FD.
func Inherited() (*Conn, error) {
	kind, err := syscall.GetsockoptInt(FD, syscall.SOL_SOCKET, syscall.SO_TYPE)
	if err != nil || kind != syscall.SOCK_SEQPACKET {
		return nil, fmt.Errorf("descriptor %d is not the socket of sandbox-init: "+
			"the storage process is started by sandbox-init and not by hand", FD)
	}
	syscall.CloseOnExec(FD)
	return newConn(FD)
}

func newConn(fd int) (*Conn, error) {
	// os.NewFile gives a descriptor to the poller only when it is non-blocking already.
	if err := syscall.SetNonblock(fd, true); err != nil {
		syscall.Close(fd)
		return nil, fmt.Errorf("cannot make the wire non-blocking: %w", err)
	}
	file := os.NewFile(uintptr(fd), "wire")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("cannot use the wire: %w", err)
	}
	return &Conn{file: file, raw: raw}, nil
}

// Send sends m as one packet, with fds as SCM_RIGHTS; they stay open here. It waits
// while the other end does not read. errors.Is(err, ErrGone): the other end is gone.
func (c *Conn) Send(m Message, fds ...int) error {
	packet, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("cannot encode a message to the other process: %w", err)
	}
	if len(packet) > MaxPacket {
		return fmt.Errorf("cannot send %s of %d bytes: a packet holds %d: %w", m.name(), len(packet), MaxPacket, syscall.EMSGSIZE)
	}
	var rights []byte
	if len(fds) > 0 {
		rights = syscall.UnixRights(fds...)
	}
	var sendErr error
	err = c.raw.Write(func(fd uintptr) bool {
		for {
			// MSG_NOSIGNAL: a dead peer is an error to handle, never a SIGPIPE.
			_, sendErr = syscall.SendmsgN(int(fd), packet, rights, nil, syscall.MSG_NOSIGNAL)
			if sendErr != syscall.EINTR {
				return sendErr != syscall.EAGAIN
			}
		}
	})
	err = rawError(err, sendErr)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.ENOTCONN):
		return fmt.Errorf("cannot send %s: %w", m.name(), ErrGone)
	default:
		return fmt.Errorf("cannot send %s: %w", m.name(), err)
	}
}

// Recv waits for a packet. The descriptors that came with it are close-on-exec and the
// caller's. The error is io.EOF once the other end has died and all that it sent
// before has been received.
func (c *Conn) Recv() (m Message, fds []int, err error) {
	if c.buf == nil {
		c.buf = make([]byte, MaxPacket)
	}
	rights := make([]byte, syscall.CmsgSpace(4*maxFDs))
	var n, rn, flags int
	var recvErr error
	err = c.raw.Read(func(fd uintptr) bool {
		for {
			n, rn, flags, _, recvErr = syscall.Recvmsg(int(fd), c.buf, rights, syscall.MSG_CMSG_CLOEXEC)
			switch recvErr {
			case syscall.EINTR:
				continue
			case syscall.ECONNRESET:
				// The other end died without reading all that we sent. The kernel reports
				// that once and ahead of the packets still queued for us: its last words
				// (Failed, Flushed) are read by asking again.
				continue
			}
			return recvErr != syscall.EAGAIN
		}
	})
	if err := rawError(err, recvErr); err != nil {
		return Message{}, nil, fmt.Errorf("cannot receive from the other process: %w", err)
	}
	fds, err = parseRights(rights[:rn])
	if err != nil {
		return Message{}, nil, err
	}
	if n == 0 {
		closeAll(fds)
		return Message{}, nil, io.EOF // no message is empty
	}
	if flags&(syscall.MSG_TRUNC|syscall.MSG_CTRUNC) != 0 {
		closeAll(fds)
		return Message{}, nil, fmt.Errorf("a packet from the other process was cut short (flags %#x)", flags)
	}
	if err := json.Unmarshal(c.buf[:n], &m); err != nil {
		closeAll(fds)
		return Message{}, nil, fmt.Errorf("cannot decode a packet of the other process: %w", err)
	}
	return m, fds, nil
}

// Close ends the conversation: the other end sees io.EOF, and a Send or Recv that waits
// here returns os.ErrClosed.
func (c *Conn) Close() error { return c.file.Close() }

// rawError is the error of a RawConn's Read or Write: the call's own, or os.ErrClosed. The
// poller has no other one where no deadline was set, and package os does not translate
// its own for a RawConn.
func rawError(pollErr, callErr error) error {
	if pollErr != nil {
		return os.ErrClosed
	}
	return callErr
}

// parseRights takes the descriptors out of a packet's control messages (unix(7), SCM_RIGHTS).
func parseRights(control []byte) ([]int, error) {
	if len(control) == 0 {
		return nil, nil
	}
	messages, err := syscall.ParseSocketControlMessage(control)
	if err != nil {
		return nil, fmt.Errorf("cannot parse the descriptors that came with a packet: %w", err)
	}
	var fds []int
	for i := range messages {
		got, err := syscall.ParseUnixRights(&messages[i])
		if err != nil {
			closeAll(fds)
			return nil, fmt.Errorf("cannot parse the descriptors that came with a packet: %w", err)
		}
		fds = append(fds, got...)
	}
	return fds, nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		syscall.Close(fd)
	}
}

// name is the message's kind, for errors and logs; never its content, which may be secret.
func (m *Message) name() string {
	switch {
	case m.Hello != nil:
		return "hello"
	case m.Start != nil:
		return "start"
	case m.Cold != nil:
		return "cold"
	case m.Drain != nil:
		return "drain"
	case m.Flush != nil:
		return "flush"
	case m.Stop != nil:
		return "stop"
	case m.Hydrated != nil:
		return "hydrated"
	case m.Failed != nil:
		return "failed"
	case m.ColdReady != nil:
		return "cold_ready"
	case m.ColdFailed != nil:
		return "cold_failed"
	case m.Problem != nil:
		return "problem"
	case m.Flushed != nil:
		return "flushed"
	}
	return "an empty message"
}
