package access

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/internal/e2e/harness"
	"github.com/matrx/sandbox/internal/host/hostd"
)

// escape tries every way out of a sandbox that has no network, and prints those that lead
// somewhere. Arguments: addresses of this machine and of other containers.
const escape = `
import os, socket, sys
def tried(name, f):
    try: f()
    except OSError: return
    print("OUT:", name)
def tcp(family, address):
    s = socket.socket(family, socket.SOCK_STREAM); s.settimeout(5); s.connect(address)
def udp(family, address):
    socket.socket(family, socket.SOCK_DGRAM).sendto(b"x", address)
print("interfaces:", *sorted(os.listdir("/sys/class/net")))
print("routes:", len(open("/proc/net/route").readlines()) - 1, sum(1 for l in open("/proc/net/ipv6_route") if l.split()[9] != "lo"))
for a in ["169.254.169.254", "1.1.1.1"] + sys.argv[1:]:
    for port in (22, 53, 80, 443): tried("tcp %s:%d" % (a, port), lambda: tcp(socket.AF_INET, (a, port)))
    tried("udp " + a, lambda: udp(socket.AF_INET, (a, 53)))
for a in ["2606:4700:4700::1111", "fd00:ec2::254", "fe80::1%1", "ff02::1"]:
    tried("tcp6 " + a, lambda: tcp(socket.AF_INET6, (a, 80)))
    tried("udp6 " + a, lambda: udp(socket.AF_INET6, (a, 53)))
tried("DNS", lambda: socket.getaddrinfo("example.com", 80))
for family, kind, name in [(socket.AF_INET, socket.SOCK_RAW, "raw"), (socket.AF_INET6, socket.SOCK_RAW, "raw6"), (socket.AF_PACKET, socket.SOCK_RAW, "packet")]:
    tried(name, lambda: socket.socket(family, kind, 1))
tried("the host's sockets", lambda: os.listdir("/run/sandbox-host"))
for name in ("storage", "proxy"):
    def unix(): socket.socket(socket.AF_UNIX).connect("/run/sandbox-host/sockets/%s.sock" % name)
    tried(name + " socket", unix)
print("tried")
`

// hostAddress is one of this machine that is not loopback: what a proxy takes programs to, and
// what NO_PROXY does not name.
func hostAddress(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && n.IP.To4() != nil {
			return n.IP.String()
		}
	}
	t.Fatal("this test needs an IPv4 address that is not loopback; the engine's bridge has one")
	return ""
}

// TestNoNetworkHasNoWayOut: neither restricted, which core has by default, nor allow has a network;
// storage works all the same.
func TestNoNetworkHasNoWayOut(t *testing.T) {
	o := newOperator(t)
	// Another container, on the engine's bridge.
	other := o.OK("run", "--image", harness.FakeinitImage, "--user-id", "other", "--access", "full", "--detach")
	address := harness.EngineOK(t, "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", "sandbox-"+other)
	if address == "" {
		t.Fatal("full access has no address")
	}
	for name, flags := range map[string][]string{
		"by default": nil, "restricted": {"--access", "restricted"}, "allow": {"--access", "allow=example.com"},
	} {
		r := o.InCore("u", append(flags, "--", "python3", "-c", escape, hostAddress(t), address)...)
		if want := "interfaces: lo\nroutes: 0 0\ntried\n"; r.Code != 0 || r.Stdout != want {
			t.Errorf("%s: %v, want %q", name, r, want)
		}
	}
	if r := o.InCore("u", "--", "sh", "-c", "echo kept >~/file"); r.Code != 0 || !strings.Contains(r.Stderr, "completed, exit code 0; ") { // and saved, by the flush or before it
		t.Errorf("without a network: %v", r)
	}
	if r := o.InCore("u", "-q", "--", "cat", "/home/agent/file"); r.Stdout != "kept\n" {
		t.Errorf("the next one finds %v", r)
	}
	if r := o.InCore("u", "-q", "--access", "full", "--", "ls", "/sys/class/net"); !strings.Contains(r.Stdout, "eth0") {
		t.Errorf("full: %v", r)
	}
	if r := o.InCore("u", "--access", "some"); r.Code != 125 || !strings.Contains(r.Stderr, "allow=HOST") {
		t.Errorf("a mode that is none: %v", r)
	}
	o.OK("stop", other)
}

// TestAllowListPassesWhatItNames: the hosts that are named can be reached by programs that know nothing but
// the usual variables, in the command and in sessions; no others can.
func TestAllowListPassesWhatItNames(t *testing.T) {
	o := newOperator(t)
	ip := hostAddress(t)
	listen := func() (net.Listener, string) {
		l, err := net.Listen("tcp4", ip+":0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l, l.Addr().String()
	}
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") })
	serve := func(start func(*httptest.Server)) string {
		s := httptest.NewUnstartedServer(hello)
		s.Listener.Close()
		var address string
		s.Listener, address = listen()
		start(s)
		t.Cleanup(s.Close)
		return address
	}
	plain, tls, other := serve((*httptest.Server).Start), serve((*httptest.Server).StartTLS), serve((*httptest.Server).Start)
	db, database := listen()
	go func() {
		for {
			c, err := db.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.WriteString(c, "database\n")
				io.Copy(c, c)
			}()
		}
	}()

	id := o.OK("run", "--image", catalog.Reference("", "core", ""), "--user-id", "u", "--detach", "--access",
		fmt.Sprintf("allow=%s,%s,%s=15432,*.example.com", plain, tls, database))
	for _, tc := range []struct{ name, script, want string }{
		{"curl", "curl -s http://" + plain, "hello"},
		{"curl with TLS", "curl -sk https://" + tls, "hello"},
		{"python", "python3 -c 'import urllib.request as u; print(u.urlopen(\"http://" + plain + "\").read().decode())'", "hello\n"},
		{"another port", "curl -s -o /dev/null -w %{http_code} http://" + other, "403"},
		{"another port, CONNECT", "curl -sk -o /dev/null -w %{http_connect} https://" + other + " || :", "403"},
		{"another host", "curl -s http://example.org", "sandbox: cannot reach example.org: this sandbox may not reach example.org:80; an operator may allow it with --access allow=example.org:80\n"},
		{"the metadata", "curl -s -o /dev/null -w %{http_code} http://169.254.169.254/latest/meta-data/", "403"},
		{"past the proxy", "curl -s --noproxy '*' --max-time 5 http://" + plain + " || echo none", "none\n"},
		{"a database", `exec 3<>/dev/tcp/127.0.0.1/15432; read -r line <&3; echo "$line"; echo ping >&3; read -r line <&3; echo "$line"`, "database\nping\n"},
		{"the variables", `echo $HTTPS_PROXY $https_proxy $NODE_USE_ENV_PROXY $NO_PROXY`, "http://127.0.0.1:3128 http://127.0.0.1:3128 1 localhost,127.0.0.1,::1\n"},
	} {
		if r := o.Do(nil, "exec", id, "--", "bash", "-c", tc.script); r.Stdout != tc.want {
			t.Errorf("%s: %v, want %q", tc.name, r, tc.want)
		}
	}
	c, err := hostd.Dial(o.Data())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	st, err := c.Status(t.Context())
	if err != nil || len(st.Sandboxes) != 1 || st.Sandboxes[0].OutRefused != 4 || st.Sandboxes[0].Out != 4 {
		t.Errorf("counted: %+v, %v", st, err)
	}
	// The storage process is killed: the next one opens the way again.
	harness.EngineOK(t, "exec", "--user", "0", "sandbox-"+id, "bash", "-c",
		`pid() { jq '.storage_pid // 0' /run/sandbox/state.json; }; old=$(pid); kill -9 $old
		until now=$(pid); [ $now != 0 ] && [ $now != $old ] && curl -s http://`+plain+`; do sleep 0.1; done`)
	o.OK("exec", id, "--", "sh", "-c", "curl -s http://"+plain+" >~/page")
	o.OK("stop", id)
	if r := o.InCore("u", "-q", "--", "cat", "/home/agent/page"); r.Stdout != "hello" {
		t.Errorf("the next one finds %v", r)
	}
}
