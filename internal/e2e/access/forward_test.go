package access

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/e2e/harness"
)

// server is what runs inside: it hashes all that it is sent and answers with the hash when the
// other side has said all, or, after "talk", echoes line by line.
const server = `
import hashlib, socket, sys, threading
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(sys.argv[1]))); s.listen(256)
def serve(c):
    f = c.makefile("rb"); first = f.readline()
    if first == b"talk\n":
        for line in f: c.sendall(line)
    elif first.startswith(b"give "):
        c.sendall(b"x" * int(first[5:]))
    else:
        h = hashlib.sha256(first)
        while b := f.read(1 << 16): h.update(b)
        c.sendall(h.hexdigest().encode())
    f.close(); c.close()
print("listening", flush=True)
while True:
    c, _ = s.accept(); threading.Thread(target=serve, args=(c,), daemon=True).start()
`

// forwarding starts `sandbox forward`, and gives the addresses that it listens on, in order.
func (o *operator) forwarding(id string, ports ...string) (*harness.Process, []string) {
	o.T.Helper()
	p := o.Start(append([]string{"forward", "--json", id}, ports...)...)
	var addresses []string
	p.Out.AwaitLines(o.T, len(ports))
	for line := range strings.Lines(p.Out.String()) {
		var l struct {
			Event, Address string
			SandboxID      string `json:"sandbox_id"`
			Local          int    `json:"local_port"`
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil || l.Event != "listening" || l.SandboxID != id {
			o.T.Fatalf("it says %q: %v", line, err)
		}
		addresses = append(addresses, net.JoinHostPort(l.Address, fmt.Sprint(l.Local)))
	}
	return p, addresses
}

// serveInside starts the server in a sandbox, as the agent.
func (o *operator) serveInside(id, port string) {
	o.T.Helper()
	p := o.Start("exec", id, "--", "python3", "-c", server, port)
	p.Out.Await(o.T, "listening")
}

// exchange sends all of it, says so, and gives what comes back.
func exchange(address string, send io.Reader) ([]byte, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	var sent error
	var all sync.WaitGroup
	all.Go(func() {
		_, sent = io.Copy(c, send)
		sent = errors.Join(sent, c.(*net.TCPConn).CloseWrite())
	})
	got, err := io.ReadAll(c)
	all.Wait()
	return got, errors.Join(sent, err)
}

// TestForwardReachesServersInside: a server inside a sandbox without a network is reached from this machine
// by many connections at a time, with all of 100 MB, by long conversations and half-closed
// connections; and again when the exec server was killed.
func TestForwardReachesServersInside(t *testing.T) {
	o := newOperator(t)
	// The servers inside have a thread for each connection, more than the image's processes.
	id := o.OK("run", "--image", catalog.Reference("", "core", ""), "--user-id", "u", "--access", "restricted", "--processes", "500", "--detach")
	forward, at := o.forwarding(id, "8080:0", "127.0.0.1:8081:0")

	// Nothing listens yet: a refusal, and it is said, once.
	for range 3 {
		if got, err := exchange(at[0], strings.NewReader("early\n")); err == nil {
			t.Errorf("a port that no process listens on answers %q", got)
		}
	}
	forward.Err.Await(t, "nothing listens on port 8080")
	o.serveInside(id, "8080")
	o.serveInside(id, "8081")
	if got := strings.Count(forward.Err.String(), "\n"); got != 1 {
		t.Errorf("it is said %d times: %s", got, forward.Err)
	}

	big := make([]byte, 100<<20)
	rand.Read(big)
	want := fmt.Sprintf("%x", sha256.Sum256(big))
	if got, err := exchange(at[0], bytes.NewReader(big)); err != nil || string(got) != want {
		t.Errorf("100 MB in: %q, %v", got, err)
	}
	if got, err := exchange(at[0], strings.NewReader("give 104857600\n")); err != nil || len(got) != 100<<20 {
		t.Errorf("100 MB out: %d bytes, %v", len(got), err)
	}

	talk, err := net.Dial("tcp", at[1])
	if err != nil {
		t.Fatal(err)
	}
	defer talk.Close()
	answers := bufio.NewReader(talk)
	io.WriteString(talk, "talk\n")
	say := func(text string) {
		t.Helper()
		io.WriteString(talk, text+"\n")
		if got, err := answers.ReadString('\n'); got != text+"\n" {
			t.Errorf("the long conversation hears %q, %v; want %s", got, err, text)
		}
	}
	say("hello")
	var many sync.WaitGroup
	for i := range 200 { // more than are joined at a time
		many.Go(func() {
			text := fmt.Sprintf("%d\n%s", i, big[:i*1000])
			want := fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
			if got, err := exchange(at[i%2], strings.NewReader(text)); err != nil || string(got) != want {
				t.Errorf("connection %d: %q, %v", i, got, err)
			}
		})
	}
	many.Wait()
	say("still there")

	// The exec server is killed: its connections end, and the next one takes new ones. The servers inside were
	// its execs, and end with it.
	harness.EngineOK(t, "exec", "--user", "0", "sandbox-"+id, "bash", "-c",
		`pid() { jq '.exec_pid // 0' /run/sandbox/state.json; }; old=$(pid); kill -9 $old
		until now=$(pid); [ $now != 0 ] && [ $now != $old ]; do sleep 0.1; done`)
	if _, err := answers.ReadString('\n'); err == nil {
		t.Error("a connection outlives the process that joined it")
	}
	o.serveInside(id, "8081")
	if got, err := exchange(at[1], strings.NewReader("again\n")); err != nil || string(got) != fmt.Sprintf("%x", sha256.Sum256([]byte("again\n"))) {
		t.Errorf("after a crash of the exec server: %q, %v", got, err)
	}

	// What is taken is said, and nothing is listened on.
	_, taken, _ := net.SplitHostPort(at[0])
	if r := o.Do(nil, "forward", id, "8080:0", "8080:"+taken); r.Code != 125 || !strings.Contains(r.Stderr, "8080:0 for any") || r.Stdout != "" {
		t.Errorf("a port that is taken: %v", r)
	}
	if r := o.Do(nil, "forward", id, "http"); r.Code != 2 {
		t.Errorf("a port that is none: %v", r)
	}

	second, _ := o.forwarding(id, "8080:0")
	second.Signal(syscall.SIGTERM)
	if r := second.End(); r.Code != 0 || r.Stderr != "" {
		t.Errorf("ended by a signal: %v", r)
	}
	o.OK("stop", id)
	if r := forward.End(); r.Code != 1 || !strings.Contains(r.Stderr, "the sandbox has ended") {
		t.Errorf("ended with its sandbox: %v", r)
	}
	if r := o.Do(nil, "forward", id, "8080:0"); r.Code != 1 || !strings.Contains(r.Stderr, "has ended") {
		t.Errorf("to a sandbox that has ended: %v", r)
	}
}

// TestForwardWorksInEveryMode: it needs no network, and does not mind one.
func TestForwardWorksInEveryMode(t *testing.T) {
	o := newOperator(t)
	for _, mode := range []string{"allow=example.com", "full"} {
		id := o.OK("run", "--image", catalog.Reference("", "core", ""), "--user-id", "u", "--access", mode, "--detach")
		forward, at := o.forwarding(id, "8080:0")
		o.serveInside(id, "8080")
		if got, err := exchange(at[0], strings.NewReader("x\n")); err != nil || string(got) != fmt.Sprintf("%x", sha256.Sum256([]byte("x\n"))) {
			t.Errorf("%s: %q, %v", mode, got, err)
		}
		forward.Signal(syscall.SIGINT)
		if r := forward.End(); r.Code != 0 {
			t.Errorf("%s: %v", mode, r)
		}
		o.OK("stop", id)
	}
}

// TestForwardIsTheHostsAlone: the workload cannot reach the socket or put anything in its
// place, although the operator's UID is the agent's; and what lies there instead of a
// socket is not followed.
func TestForwardIsTheHostsAlone(t *testing.T) {
	o := newOperator(t)
	o.As(contract.AgentUID)
	id := o.OK("run", "--image", catalog.Reference("", "core", ""), "--user-id", "u", "--access", "restricted", "--detach")
	const inside = contract.HostDir + "/sockets/" + contract.HostExecSocketName
	for name, script := range map[string]string{
		"connect": "curl -s --unix-socket " + inside + " http://x",
		"list":    "ls " + contract.HostDir + "/sockets",
		"replace": "ln -sf /run/sandbox/control.sock " + inside,
		"remove":  "rm " + inside,
	} {
		if r := o.Do(nil, "exec", id, "--", "sh", "-c", script); r.Code == 0 {
			t.Errorf("the workload can %s it: %v", name, r)
		}
	}
	socket := filepath.Join(o.SandboxDir(id).HostDir(), contract.HostExecSocketName)
	if st, err := os.Lstat(socket); err != nil || st.Mode().Type() != os.ModeSocket {
		t.Fatalf("the socket: %v, %v", st, err)
	}
	o.serveInside(id, "8080")
	p, at := o.forwarding(id, "8080:0")
	if got, err := exchange(at[0], strings.NewReader("x\n")); err != nil || len(got) != 64 {
		t.Errorf("the operator's: %q, %v", got, err)
	}
	// The container's root alone could do this.
	harness.EngineOK(t, "exec", "--user", "0", "sandbox-"+id, "ln", "-sf", o.DataDir+"/daemon/socket", inside)
	if got, err := exchange(at[0], strings.NewReader("x\n")); err == nil {
		t.Errorf("a link is followed: %q", got)
	}
	p.Err.Await(t, "not a socket")
	p.Signal(syscall.SIGTERM)
	p.End()
	o.OK("stop", id)
}
