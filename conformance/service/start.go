package service

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

	"github.com/matrx/sandbox/conformance/deathwatch"
)

func startPostgres(ctx context.Context, h Host, dir string) (func(), error) {
	const remedy = "apt-get install postgresql"
	initdb, err := findServer(remedy, "/usr/lib/postgresql/*/bin/initdb", "initdb")
	if err != nil {
		return nil, err
	}
	as, err := notRoot("postgres", dir)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	initialise := exec.CommandContext(ctx, initdb, "-D", data, "-A", "trust", "-U", "postgres", "--no-sync")
	if as != nil {
		initialise.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	}
	initialise.Dir = "/"
	if out, err := initialise.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return h.serve(ctx, filepath.Join(dir, ".s.PGSQL.5432"), as, filepath.Join(filepath.Dir(initdb), "postgres"),
		"-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "unix_socket_permissions=0777")
}

func startMariaDB(ctx context.Context, h Host, dir string) (func(), error) {
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
	who, err := user.Current()
	if err != nil {
		return nil, err
	}
	user := "--user=" + who.Username
	initialise := exec.CommandContext(ctx, install, "--no-defaults", user, "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db")
	if out, err := initialise.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	socket := filepath.Join(dir, "mysqld.sock")
	return h.serve(ctx, socket, nil, daemon, "--no-defaults", user, "--datadir="+data, "--socket="+socket, "--skip-networking", "--pid-file="+filepath.Join(dir, "pid"))
}

func startRedis(ctx context.Context, h Host, dir string) (func(), error) {
	program, err := findServer("apt-get install redis-server", "redis-server")
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(dir, "redis.sock")
	return h.serve(ctx, socket, nil, program, "--port", "0", "--unixsocket", socket, "--unixsocketperm", "777", "--save", "", "--dir", dir)
}

// serve starts a server under a deathwatch and waits until its socket answers. A server that ends
// first is an error with what it printed.
func (h Host) serve(ctx context.Context, socket string, as *syscall.Credential, argv ...string) (func(), error) {
	cmd := deathwatch.New(deathwatch.Spec{Program: h.Program, Lock: h.Lock, As: as, Argv: argv})
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	held, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	var ending error
	go func() {
		ending = cmd.Wait()
		close(ended)
	}()
	stop := func() {
		held.Close()
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
		case <-ended:
			return nil, errors.Join(fmt.Errorf("it ended, and had printed: %s", out.String()), ending)
		case <-bounded.Done():
			stop()
			return nil, errors.Join(bounded.Err(), fmt.Errorf("it printed: %s", out.String()))
		case <-tick.C:
		}
	}
}

// notRoot is a user whose server refuses to run as root, and gives it dir; nil, which is the
// suite's own user, when that is not root.
func notRoot(name, dir string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	as, err := credentialOf(name)
	if err != nil {
		return nil, err
	}
	return as, os.Chown(dir, int(as.Uid), int(as.Gid))
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
