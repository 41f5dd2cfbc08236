package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/matrx/sandbox/bench/scaffold"
	"golang.org/x/sys/unix"
)

// peer is a program that mounts a bucket's prefix.
type peer struct {
	name  string
	start func(l *runner, dir, cache string) (*exec.Cmd, error)
}

// mount is a mounted peer.
type mount struct {
	dir, cache string
	cmd        *exec.Cmd
	out        bytes.Buffer
	ended      chan error
}

// mount starts a peer on fresh directories and waits until the kernel is answered.
func (l *runner) mount(p peer) (*mount, error) {
	m := &mount{dir: l.fresh("mount"), cache: l.fresh("cache"), ended: make(chan error, 1)}
	for _, d := range []string{m.dir, m.cache} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return nil, err
		}
	}
	var before, now unix.Stat_t
	if err := unix.Stat(m.dir, &before); err != nil {
		return nil, err
	}
	var err error
	if m.cmd, err = p.start(l, m.dir, m.cache); err != nil {
		return nil, err
	}
	m.cmd.Stderr = &m.out
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := m.cmd.Start(); err != nil {
		return nil, err
	}
	for _, f := range m.cmd.ExtraFiles {
		f.Close()
	}
	go func() { m.ended <- m.cmd.Wait() }()
	deadline := time.Now().Add(time.Minute)
	for {
		if err := unix.Stat(m.dir, &now); err == nil && now.Dev != before.Dev {
			return m, nil
		}
		select {
		case err := <-m.ended:
			_ = unix.Unmount(m.dir, unix.MNT_DETACH)
			return nil, fmt.Errorf("%s did not mount: %w: %s", p.name, err, scaffold.Tail(m.out.String()))
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			m.unmount()
			return nil, fmt.Errorf("%s has not mounted within a minute: %s", p.name, scaffold.Tail(m.out.String()))
		}
	}
}

// rss is the largest resident set so far, in MiB, and that now.
func (m *mount) rss() (peak, now int64) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.cmd.Process.Pid))
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 3 {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			switch f[0] {
			case "VmHWM:":
				peak = n >> 10
			case "VmRSS:":
				now = n >> 10
			}
		}
	}
	return peak, now
}

// unmount ends it; what it has cached goes.
func (m *mount) unmount() {
	_ = unix.Unmount(m.dir, unix.MNT_DETACH)
	_ = m.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-m.ended:
	case <-time.After(30 * time.Second):
		_ = m.cmd.Process.Kill()
		<-m.ended
	}
	os.RemoveAll(m.cache)
	os.Remove(m.dir)
}

// ours is the storage process's part of it, mounted as PID 1 does.
var ours = peer{"sandbox-init", func(l *runner, dir, cache string) (*exec.Cmd, error) {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/fuse: %w", err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions", fd)
	if err := unix.Mount("cold", dir, "fuse.sandbox", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("cannot mount: %w", err)
	}
	argv, err := scaffold.StorageCommand(scaffold.StorageOf(l.server, l.endpoint(), bucket, cache))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(l.server.Env(cache), profileVariable+"="+os.Getenv(profileVariable))
	cmd.ExtraFiles = []*os.File{os.NewFile(uintptr(fd), "/dev/fuse")}
	return cmd, nil
}}

// peers are ours and those that are installed, with the options that their manuals give for speed.
func (l *runner) peers() []peer {
	ps := []peer{ours}
	rclone := func(more ...string) func(*runner, string, string) (*exec.Cmd, error) {
		return func(l *runner, dir, cache string) (*exec.Cmd, error) {
			args := []string{
				"mount", "--config", "/dev/null", "--cache-dir", cache, "--allow-other", "--dir-cache-time", "60s", "--attr-timeout", "60s", "--vfs-write-back", "0s",
				"--s3-provider", "Other", "--s3-endpoint", l.endpoint(), "--s3-env-auth", "--s3-force-path-style", "--s3-no-check-bucket",
			}
			cmd := exec.Command(l.rclone, append(append(args, more...), ":s3:"+bucket+"/"+strings.TrimSuffix(prefix, "/"), dir)...)
			cmd.Env = l.server.Env(cache)
			return cmd, nil
		}
	}
	if l.rclone != "" {
		ps = append(ps, peer{"rclone, cached", rclone("--vfs-cache-mode", "full", "--vfs-read-chunk-streams", "8", "--vfs-read-chunk-size", "8M")},
			peer{"rclone", rclone("--vfs-cache-mode", "off", "--vfs-read-chunk-streams", "8", "--vfs-read-chunk-size", "8M")})
	}
	if l.s3fs != "" {
		ps = append(ps, peer{"s3fs", func(l *runner, dir, cache string) (*exec.Cmd, error) {
			cmd := exec.Command(l.s3fs, bucket+":/"+strings.TrimSuffix(prefix, "/"), dir, "-f", "-o", "url="+l.endpoint(), "-o", "use_path_request_style",
				"-o", "allow_other", "-o", "use_cache="+cache, "-o", "stat_cache_expire=60", "-o", "parallel_count=16", "-o", "multireq_max=64", "-o", "umask=0022")
			cmd.Env = l.server.Env(cache)
			return cmd, nil
		}})
	}
	return ps
}
