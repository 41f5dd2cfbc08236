package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/execapi"
)

// box is the sandbox that is measured.
type box struct {
	program, data, id string
	dir               string // for files
	*execapi.Client
}

func startBox(program, image, dir string) (*box, error) {
	b := &box{program: program, data: filepath.Join(dir, "data"), dir: dir}
	// More than any image allows: 100 commands at once are measured.
	out, err := exec.Command(program, "run", "--data-dir", b.data, "--image", image, "--user-id", "bench", "--detach", "--memory", "2g", "--processes", "400", "--no-read-only").Output()
	if err != nil {
		return nil, fmt.Errorf("cannot start a sandbox of %s: %w; run make core", image, err)
	}
	b.id = strings.TrimSpace(string(out))
	socket := filepath.Join(b.data, "sandboxes", b.id, "host", contract.HostExecSocketName)
	b.Client = execapi.New(func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "unix", socket) })
	return b, b.sandbox(io.Discard, "exec", b.id, "--", "true") // it is ready
}

func (b *box) stop() {
	_ = b.sandbox(io.Discard, "rm", "--force", b.id)
}

// sandbox runs our program, docker the peer.
func (b *box) sandbox(out io.Writer, command string, args ...string) error {
	return runProgram(exec.Command(b.program, append([]string{command, "--data-dir", b.data}, args...)...), out)
}

func (b *box) docker(out io.Writer, args ...string) error {
	return runProgram(exec.Command("docker", args...), out)
}

func runProgram(cmd *exec.Cmd, out io.Writer) error {
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	return cmd.Run()
}

func (b *box) container() string { return "sandbox-" + b.id }

// protocol runs a command to its end and gives its output away; first is called at its first byte.
func (b *box) protocol(out io.Writer, first func(), args ...string) error {
	st, err := b.StartAttached(context.Background(), execapi.Spec{Args: args})
	if err != nil {
		return err
	}
	defer st.Close()
	for {
		e, err := st.Next()
		switch {
		case err != nil:
			return err
		case e.Final != nil && e.Final.Code != 0:
			return fmt.Errorf("%q ended with code %d", args, e.Final.Code)
		case e.Final != nil:
			return nil
		}
		if first != nil {
			first()
			first = nil
		}
		if _, err := out.Write(e.Data); err != nil {
			return err
		}
	}
}

func (b *box) commands(runs int) (r row, err error) {
	r.figure = "exec of true"
	return r, b.fill(&r, runs, runs/4,
		func() error { return b.protocol(io.Discard, nil, "true") },
		func() error { return b.sandbox(io.Discard, "exec", b.id, "--", "true") },
		func() error { return b.docker(io.Discard, "exec", b.container(), "true") })
}

// fill measures all three.
func (b *box) fill(r *row, protocol, programs int, proto, own, docker func() error) (err error) {
	if proto != nil {
		if r.proto, err = timed(protocol, proto); err != nil {
			return err
		}
	}
	if r.own, err = timed(programs, own); err != nil {
		return err
	}
	r.docker, err = timed(programs, docker)
	return err
}

// firstByte is measured to the first byte, and not to the end, of a command that says something and goes on for a moment.
func (b *box) firstByte(runs int) (r row, err error) {
	r.figure = "first byte of output"
	script := []string{"sh", "-c", "echo x; exec sleep 0.02"}
	for range runs / 4 {
		began := time.Now()
		if err := b.protocol(io.Discard, func() { r.proto = append(r.proto, time.Since(began)) }, script...); err != nil {
			return r, err
		}
		for _, peer := range []struct {
			into *[]time.Duration
			run  func(out io.Writer) error
		}{
			{&r.own, func(out io.Writer) error {
				return b.sandbox(out, "exec", append([]string{b.id, "--"}, script...)...)
			}},
			{&r.docker, func(out io.Writer) error {
				return b.docker(out, append([]string{"exec", b.container()}, script...)...)
			}},
		} {
			w := &firstWrite{began: time.Now()}
			if err := peer.run(w); err != nil {
				return r, err
			}
			*peer.into = append(*peer.into, w.took)
		}
	}
	return r, nil
}

type firstWrite struct {
	began time.Time
	took  time.Duration
}

func (w *firstWrite) Write(b []byte) (int, error) {
	if w.took == 0 {
		w.took = time.Since(w.began)
	}
	return len(b), nil
}

func (b *box) output(int) (r row, err error) {
	r.figure = "1 GB through stdout"
	const bytes = "1000000000"
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return r, err
	}
	defer null.Close()
	return r, b.fill(&r, 3, 3,
		func() error { return b.protocol(io.Discard, nil, "head", "-c", bytes, "/dev/zero") },
		func() error { return b.sandbox(null, "exec", b.id, "--", "head", "-c", bytes, "/dev/zero") },
		func() error { return b.docker(null, "exec", b.container(), "head", "-c", bytes, "/dev/zero") })
}

const fileSize = 100 << 20

func (b *box) fileIn(int) (r row, err error) {
	r.figure = "100 MB file in"
	file := filepath.Join(b.dir, "file")
	f, err := os.Create(file)
	if err == nil {
		_, err = io.CopyN(f, noise{}, fileSize)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return r, err
	}
	return r, b.fill(&r, 0, 5, nil,
		func() error { return b.sandbox(io.Discard, "cp", file, b.id+":/tmp/ours") },
		func() error { return b.docker(io.Discard, "cp", file, b.container()+":/tmp/theirs") })
}

func (b *box) fileOut(int) (r row, err error) {
	r.figure = "100 MB file out"
	return r, b.fill(&r, 0, 5, nil,
		func() error { return b.sandbox(io.Discard, "cp", b.id+":/tmp/ours", filepath.Join(b.dir, "ours")) },
		func() error {
			return b.docker(io.Discard, "cp", b.container()+":/tmp/theirs", filepath.Join(b.dir, "theirs"))
		})
}

// noise is bytes that no file system leaves out.
type noise struct{}

func (noise) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return len(b), nil
}

// atOnce is the time until all of a hundred have ended.
func (b *box) atOnce(int) (r row, err error) {
	r.figure = "100 execs at once, all"
	hundred := func(one func() error) func() error {
		return func() error {
			errs := make([]error, 100)
			var all sync.WaitGroup
			for i := range errs {
				all.Go(func() { errs[i] = one() })
			}
			all.Wait()
			return errors.Join(errs...)
		}
	}
	return r, b.fill(&r, 3, 1,
		hundred(func() error { return b.protocol(io.Discard, nil, "true") }),
		hundred(func() error { return b.sandbox(io.Discard, "exec", b.id, "--", "true") }),
		hundred(func() error { return b.docker(io.Discard, "exec", b.container(), "true") }))
}
