package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"
)

// facts are what an engine says of itself, none of which changes while it runs.
type facts struct {
	ID       string
	AppArmor bool
	Seccomp  bool
	Machine  Machine
}

// Memory is where it is remembered what an engine has said of itself: to say it, an engine executes two programs, which takes
// it 5 to 40 ms. The zero one remembers nothing.
//
// It is believed of the very process that said it, and for a while: processors and memory may be added to a machine.
type Memory struct {
	Path string // of the file, in a directory of the operator's alone

	life func(host string) string // see lifeOf
}

// knownFor is how long an engine is not asked again.
const knownFor = 10 * time.Minute

type known struct {
	Life  string
	At    time.Time
	Facts facts
}

// ask gives what the engine is, and makes sure that it answers.
func (m Memory) ask(ctx context.Context, c *client.Client) (facts, error) {
	if m.life == nil {
		m.life = lifeOf
	}
	life := ""
	if m.Path != "" {
		life = m.life(c.DaemonHost())
	}
	if life != "" {
		var k known
		text, err := os.ReadFile(m.Path)
		if err == nil && json.Unmarshal(text, &k) == nil && k.Life == life && time.Since(k.At).Abs() < knownFor {
			_, err := c.Ping(ctx, client.PingOptions{})
			return k.Facts, err
		}
	}
	info, err := c.Info(ctx, client.InfoOptions{})
	if err != nil {
		return facts{}, err
	}
	f := facts{ID: info.Info.ID, AppArmor: confines(info.Info.SecurityOptions, "apparmor"), Seccomp: confines(info.Info.SecurityOptions, "seccomp"), Machine: machine(info.Info)}
	if life != "" && m.life(c.DaemonHost()) == life { // it has not been started anew meanwhile
		// A part of it, that another program reads meanwhile or a kill leaves, is no JSON; a file that cannot be written costs
		// the next program the question.
		if text, err := json.Marshal(known{life, time.Now(), f}); err == nil {
			_ = os.WriteFile(m.Path, text, 0o600)
		}
	}
	return f, nil
}

// lifeOf names the process that serves a host's socket, or nothing where that cannot be told: its number is in the file
// that dockerd keeps beside its default socket, and with the time of its start it names one process for as long as the machine runs.
// The socket is the process's own, or systemd's.
func lifeOf(host string) string {
	const pidFile = "/run/docker.pid"
	socket := strings.TrimPrefix(host, "unix://")
	if socket != "/var/run/docker.sock" && socket != "/run/docker.sock" {
		return ""
	}
	var st unix.Stat_t
	text, err := os.ReadFile(pidFile)
	if err != nil || unix.Stat(socket, &st) != nil {
		return ""
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return ""
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	boot, berr := os.ReadFile("/proc/sys/kernel/random/boot_id")
	comm, fields, ok := strings.Cut(string(stat), ") ")
	all := strings.Fields(fields)
	const start = 19 // of the fields after the name (proc_pid_stat(5))
	if err != nil || berr != nil || !ok || !strings.HasSuffix(comm, "(dockerd") || len(all) <= start {
		return ""
	}
	return fmt.Sprintf("%s %d %s %d %d %d.%09d", strings.TrimSpace(string(boot)), pid, all[start], st.Dev, st.Ino, st.Ctim.Sec, st.Ctim.Nsec)
}
