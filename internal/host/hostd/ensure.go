package hostd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// Program is the command that becomes a daemon when "--data-dir DIR" follows. The zero
// value is this program's own `hostd` command.
type Program []string

func (p Program) command(d datadir.Dir, more ...string) *exec.Cmd {
	if len(p) == 0 {
		// By this name the running program is found when its file has been replaced.
		p = Program{"/proc/self/exe", "hostd"}
	}
	args := append([]string{"sandbox"}, p[1:]...)
	args = append(append(args, "--data-dir", d.Path()), more...)
	return &exec.Cmd{
		Path: p[0], Args: args, Dir: "/", Env: environment(os.Environ()),
		// Not the terminal's: a Ctrl-C there is for the program that started it.
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
}

// starters are the variables of the program that starts a daemon which are that program's alone. The daemon
// outlives it and serves the sandboxes of others: their engines and credentials are in their records.
var starters = []string{
	"DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_API_VERSION", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY",
	"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE",
	"AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_REGION", "AWS_DEFAULT_REGION",
}

// environment is what a daemon has of its starter's.
func environment(starter []string) []string {
	return slices.DeleteFunc(slices.Clone(starter), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.Contains(starters, name)
	})
}

// answerWithin bounds how long a daemon that is there may take to answer.
const answerWithin = 10 * time.Second

// readyWithin bounds how long a daemon may take to serve every sandbox again.
const readyWithin = time.Minute

// Ensure makes sure that a daemon answers, and holds on to it. Of several programs that
// come at once, one starts it.
func Ensure(ctx context.Context, d datadir.Dir, p Program) (*Client, *Hold, error) {
	if err := d.CheckOwner(); err != nil {
		return nil, nil, err
	}
	c, err := Dial(d)
	if err != nil {
		return nil, nil, err
	}
	h, err := c.ensure(ctx, d, p)
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	return c, h, nil
}

// Revive makes sure that a daemon answers if a sandbox needs one: both it and its guard may
// have been killed. The release that it returns lets go of it.
// Needed says that it does, as one that was kept and started again.
func Revive(ctx context.Context, d datadir.Dir, p Program, needed bool) (release func(), err error) {
	records, _ := d.Records() // those that can be read
	if !needed && !slices.ContainsFunc(records, func(r datadir.Record) bool { return r.Ended == nil }) {
		return func() {}, nil
	}
	c, h, err := Ensure(ctx, d, p)
	if err != nil {
		return nil, err
	}
	if err := c.offer(ctx, records); err != nil {
		h.Release()
		c.Close()
		return nil, err
	}
	return func() {
		h.Release()
		c.Close()
	}, nil
}

// offer gives the daemon the credentials of this program's environment for those sandboxes
// that wait for them.
func (c *Client) offer(ctx context.Context, records []datadir.Record) error {
	own, ok := EnvironmentCredentials()
	if !ok {
		return nil
	}
	st, err := c.Status(ctx)
	if err != nil {
		return err
	}
	for _, s := range st.Sandboxes {
		waits := s.AwaitsCredentials && slices.ContainsFunc(records, func(r datadir.Record) bool {
			return r.SandboxID == s.SandboxID && r.Store.AccessKey == own.AccessKey
		})
		if waits {
			err = errors.Join(err, c.Authorize(ctx, s.SandboxID, own))
		}
	}
	return err
}

// Again is Ensure for a client whose hold was lost.
func (c *Client) Again(ctx context.Context, d datadir.Dir, p Program) (*Hold, error) {
	return c.ensure(ctx, d, p)
}

func (c *Client) ensure(ctx context.Context, d datadir.Dir, p Program) (*Hold, error) {
	lock, err := datadir.LockFile(ctx, filepath.Join(d.Hostd(), startName))
	if err != nil {
		return nil, fmt.Errorf("cannot start the daemon: %w", err)
	}
	defer lock.Close()
	if h, err := c.tryHold(ctx); h != nil || err != nil {
		return h, err
	}
	started, err := start(ctx, d, p)
	if err != nil {
		return nil, err
	}
	defer started.Close()
	h, err := c.tryHold(ctx)
	if h == nil && err == nil {
		err = errors.New("it has ended at once")
	}
	for id, own := range c.handed {
		if err == nil {
			err = c.Authorize(ctx, id, own)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot reach the daemon: %w; its log is %s", err, filepath.Join(d.Hostd(), logName))
	}
	return h, nil
}

// tryHold holds on to the daemon that is there. None is no error: no process listens, or
// the one that does is ending.
func (c *Client) tryHold(ctx context.Context) (*Hold, error) {
	ask, stop := context.WithTimeout(ctx, answerWithin)
	defer stop()
	if st, err := c.Status(ask); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if ask.Err() != nil {
			return nil, errors.New("the daemon does not answer; it may have been stopped by a signal")
		}
		if errors.Is(err, errNewer) {
			return nil, err
		}
		if errors.Is(err, errOlder) {
			return nil, c.replace(ask, st)
		}
		return nil, nil
	}
	h, err := c.Hold(ask)
	if err != nil {
		return nil, nil
	}
	return h, nil
}

// readiness is what a daemon says to the program that has started it.
type readiness struct {
	Ready bool   `json:"ready"`
	Error string `json:"error,omitempty"`
}

// start starts a daemon and waits until it is ready. The daemon stays at least until what
// is returned is closed.
func start(ctx context.Context, d datadir.Dir, p Program) (net.Conn, error) {
	log, err := openLog(d)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	ours, theirs, err := socketpair()
	if err != nil {
		return nil, fmt.Errorf("cannot start the daemon: %w", err)
	}
	cmd := p.command(d)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{theirs} // its descriptor 3
	err = cmd.Start()
	theirs.Close()
	if err == nil {
		go func() { _ = cmd.Wait() }() // so that it leaves no zombie when it ends before this program
		err = awaitReady(ctx, ours)
	}
	if err != nil {
		ours.Close()
		return nil, fmt.Errorf("cannot start the daemon: %w; its log is %s", err, log.Name())
	}
	return ours, nil
}

func awaitReady(ctx context.Context, c net.Conn) error {
	_ = c.SetDeadline(time.Now().Add(readyWithin))
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var said readiness
	err := json.NewDecoder(io.LimitReader(c, 64<<10)).Decode(&said)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("it is not ready after %s", readyWithin)
	case err != nil:
		return errors.New("it has ended at once")
	case !said.Ready:
		return errors.New(said.Error)
	}
	return nil
}

func socketpair() (net.Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	theirs := os.NewFile(uintptr(fds[1]), "theirs")
	f := os.NewFile(uintptr(fds[0]), "ours")
	defer f.Close()
	ours, err := net.FileConn(f)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return ours, theirs, nil
}

func openLog(d datadir.Dir) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(d.Hostd(), logName), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open the daemon's log: %w", err)
	}
	return f, nil
}
