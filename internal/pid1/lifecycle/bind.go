package lifecycle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/pid1/privilege"
)

// binder takes the messages that bind a sandbox (contract.Bind), from boot to exit: one that comes too late is told
// so. It reads each and hands it to the goroutine that runs the sandbox, which alone decides: of any number of
// messages one counts, and none does once a SIGTERM was taken. A nil binder is a sandbox that was not started
// unbound.
//
// What connects is the host, or root in the container: the socket's directory keeps all others out.
type binder struct {
	path     string
	listener *os.File
	requests chan bindRequest
}

// bindRequest is a message that makes sense by itself.
type bindRequest struct {
	contract.Bind
	client   *os.File
	answered chan struct{} // closed by answer
}

// answer is called once.
func (r bindRequest) answer(a contract.BindAnswer) {
	say(r.client, a)
	close(r.answered)
}

const (
	bindClients = 4               // served at a time; the others wait in the kernel's queue
	bindWithin  = 5 * time.Second // for a client's message
)

func newBinder(path string, mode privilege.Mode) (*binder, error) {
	if mode != privilege.Root {
		return nil, fmt.Errorf("cannot be bound on %s=%s: the agent could put its own socket there, since sandbox-init runs as UID %d; start the container as root (--user 0)",
			contract.EnvBindSocket, path, os.Geteuid())
	}
	if privilege.AgentReaches(path) {
		return nil, fmt.Errorf("cannot be bound on %s=%s: the agent may enter its directory; make %s, or one above it, root's with mode 0700",
			contract.EnvBindSocket, path, filepath.Dir(path))
	}
	fd, err := listenAt(path)
	if err != nil {
		return nil, fmt.Errorf("cannot be bound on %s=%s: %w; its directory must be there, and writable", contract.EnvBindSocket, path, err)
	}
	b := &binder{path: path, listener: os.NewFile(uintptr(fd), "bind"), requests: make(chan bindRequest)}
	raw, err := b.listener.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("cannot wait for clients of %s: %w", path, err)
	}
	places := make(chan struct{}, bindClients)
	go func() {
		for {
			places <- struct{}{}
			client, err := accept(raw)
			if err != nil {
				return // closed
			}
			go func() {
				b.serve(client)
				<-places
			}()
		}
	}()
	return b, nil
}

// accept waits for a client in the runtime's poller. Package net would bring its resolver into PID 1.
func accept(raw interface {
	Read(func(uintptr) bool) error
}) (client *os.File, err error) {
	for {
		var fd int
		var failed error
		err := raw.Read(func(listener uintptr) bool {
			fd, _, failed = unix.Accept4(int(listener), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
			return failed != unix.EAGAIN
		})
		switch {
		case err != nil:
			return nil, err
		case failed == nil:
			return os.NewFile(uintptr(fd), "bind client"), nil
		case failed == unix.EMFILE, failed == unix.ENFILE, failed == unix.ENOBUFS, failed == unix.ENOMEM:
			time.Sleep(acceptPause) // until others give some back: nothing says when they do
		}
		// Else the client is gone already (accept(2), "Error handling").
	}
}

const acceptPause = 100 * time.Millisecond

// serve reads a client's message and has it decided.
func (b *binder) serve(client *os.File) {
	defer client.Close()
	m, refused := receive(client)
	if refused.Refused != "" {
		say(client, refused)
		return
	}
	r := bindRequest{m, client, make(chan struct{})}
	b.requests <- r
	<-r.answered
}

func receive(client *os.File) (m contract.Bind, refused contract.BindAnswer) {
	_ = client.SetReadDeadline(time.Now().Add(bindWithin))
	body, err := io.ReadAll(io.LimitReader(client, contract.MaxBind+1))
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return m, refuse(contract.BindInvalid, "the message has no end after %s: a client ends its direction once it has written", bindWithin)
	case err != nil:
		return m, refuse(contract.BindInvalid, "the message cannot be read: %v", err)
	case len(body) > contract.MaxBind:
		_, _ = io.Copy(io.Discard, client) // a socket that is closed with bytes in it loses the answer
		return m, refuse(contract.BindTooLarge, "the message is larger than %d bytes; have the command fetch what is large", contract.MaxBind)
	}
	if m, err = parseBind(body); err != nil {
		return m, refuse(contract.BindInvalid, "the message is wrong: %v", err)
	}
	return m, refused
}

// say answers a client, and waits for nothing: an answer fits into an empty socket. A client that is gone can ask
// again, and is no reason for a SIGPIPE.
func say(client *os.File, a contract.BindAnswer) {
	body, err := json.Marshal(a)
	if err != nil {
		return // it is strings
	}
	raw, err := client.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { _ = unix.Sendto(int(fd), append(body, '\n'), unix.MSG_NOSIGNAL, nil) })
}

// parseBind takes one JSON object of known fields.
func parseBind(body []byte) (m contract.Bind, err error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return m, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return m, errors.New("more follows the object")
	}
	for _, arg := range m.Command {
		if bytes.IndexByte([]byte(arg), 0) >= 0 {
			return m, fmt.Errorf("the argument %q has a NUL, which no argument of a process can have", arg)
		}
	}
	if len(m.Command) > 0 && m.Command[0] == "" {
		return m, errors.New("the command has no name")
	}
	return m, nil
}

func refuse(kind, format string, args ...any) contract.BindAnswer {
	return contract.BindAnswer{Refused: kind, Reason: fmt.Sprintf(format, args...)}
}

func (b *binder) incoming() <-chan bindRequest {
	if b == nil {
		return nil
	}
	return b.requests
}

// end removes the socket.
func (b *binder) end() {
	if b == nil {
		return
	}
	_ = os.Remove(b.path)
	_ = b.listener.Close()
}
