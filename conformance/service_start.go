package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

func startPostgres(ctx context.Context, dir string) (func(), error) {
	const remedy = "apt-get install postgresql"
	initdb, err := findServer(remedy, "/usr/lib/postgresql/*/bin/initdb", "initdb")
	if err != nil {
		return nil, err
	}
	// PostgreSQL refuses to run as root.
	as, err := credentialOf("postgres")
	if err != nil {
		return nil, err
	}
	if err := os.Chown(dir, int(as.Uid), int(as.Gid)); err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	initialise := exec.CommandContext(ctx, initdb, "-D", data, "-A", "trust", "-U", "postgres", "--no-sync")
	initialise.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	initialise.Dir = "/"
	if out, err := initialise.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	server := exec.CommandContext(ctx, filepath.Join(filepath.Dir(initdb), "postgres"), "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "unix_socket_permissions=0777")
	server.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	return serve(ctx, server, filepath.Join(dir, ".s.PGSQL.5432"))
}

func startMariaDB(ctx context.Context, dir string) (func(), error) {
	const remedy = "apt-get install mariadb-server"
	install, err := findServer(remedy, "mariadb-install-db", "mysql_install_db")
	if err != nil {
		return nil, err
	}
	daemon, err := findServer(remedy, "mariadbd", "/usr/sbin/mariadbd")
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	initialise := exec.CommandContext(ctx, install, "--no-defaults", "--user=root", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db")
	if out, err := initialise.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	socket := filepath.Join(dir, "mysqld.sock")
	server := exec.CommandContext(ctx, daemon, "--no-defaults", "--user=root", "--datadir="+data, "--socket="+socket, "--skip-networking", "--pid-file="+filepath.Join(dir, "pid"))
	return serve(ctx, server, socket)
}

func startRedis(ctx context.Context, dir string) (func(), error) {
	program, err := findServer("apt-get install redis-server", "redis-server")
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(dir, "redis.sock")
	return serve(ctx, exec.CommandContext(ctx, program, "--port", "0", "--unixsocket", socket, "--unixsocketperm", "777", "--save", "", "--dir", dir), socket)
}

// serve starts a server and waits until its socket answers. A server that ends first is
// an error with what it printed.
func serve(ctx context.Context, cmd *exec.Cmd, socket string) (func(), error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Dir = &out, &out, "/"
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop := func() {
		_ = cmd.Process.Kill()
		<-ended
	}
	bounded, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := net.Dial("unix", socket); err == nil {
			return stop, c.Close()
		}
		select {
		case err := <-ended:
			return nil, fmt.Errorf("it ended: %w: %s", err, out.String())
		case <-bounded.Done():
			stop()
			return nil, errors.Join(bounded.Err(), fmt.Errorf("it printed: %s", out.String()))
		case <-tick.C:
		}
	}
}

func credentialOf(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
