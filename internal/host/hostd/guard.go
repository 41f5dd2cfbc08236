package hostd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// A guard is a process that does nothing but wait for its daemon's death. They share a
// pipe: a byte says that the daemon has ended as it should, the end of the pipe without one
// that it was killed. A daemon whose guard has ended starts another.

// guardFlag makes a daemon's command a guard's.
const guardFlag = "--guard"

// guardFD is the guard's end of the pipe, guardVaultFD the vault of its daemon.
const (
	guardFD      = 3
	guardVaultFD = 4
)

// minLife is how long a daemon has to live for its successor to be started at once: one
// that dies as it begins must not be started as fast as the machine can.
const minLife = 2 * time.Second

// Guard waits for the death of the daemon that has started this process, and starts another
// one if it was killed.
func Guard(ctx context.Context, d datadir.Dir, p Program, log *slog.Logger) error {
	began := time.Now()
	secrets := inherited(guardVaultFD, unix.S_IFREG)
	if secrets == nil {
		return errors.New("a guard is started by its daemon")
	}
	defer secrets.Close()
	if ended, err := waitForEnd(ctx); ended || err != nil {
		return err
	}
	log.Warn("the daemon was killed; starting another", "event", "daemon_killed")
	if lived := time.Since(began); lived < minLife {
		select {
		case <-time.After(minLife - lived):
		case <-ctx.Done():
			return nil
		}
	}
	c, h, err := Ensure(ctx, d, p)
	if err != nil {
		return err
	}
	defer c.Close()
	defer h.Release()
	known, err := readVault(secrets)
	if err != nil {
		return err
	}
	handOver(ctx, c, known, log)
	return nil
}

// waitForEnd says whether the daemon has said goodbye.
func waitForEnd(ctx context.Context) (bool, error) {
	pipe := inherited(guardFD, unix.S_IFIFO)
	if pipe == nil {
		return false, errors.New("a guard is started by its daemon")
	}
	defer pipe.Close()
	said := make(chan error, 1)
	go func() {
		_, err := io.ReadFull(pipe, make([]byte, 1))
		said <- err
	}()
	select {
	case err := <-said:
		return err == nil, nil
	case <-ctx.Done():
		return true, nil
	}
}

// guarded keeps a guard beside this process until goodbye.
type guarded struct {
	pipe *os.File
	over chan struct{}
	done chan struct{}
}

func guard(d datadir.Dir, p Program, secrets *os.File, log *slog.Logger) (*guarded, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	g := &guarded{pipe: w, over: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(g.done)
		defer r.Close()
		for {
			began := time.Now()
			cmd := p.command(d, guardFlag)
			cmd.Stdout, cmd.Stderr = logOutput, logOutput
			cmd.ExtraFiles = []*os.File{r, secrets} // guardFD, guardVaultFD
			err := cmd.Start()
			if err == nil {
				log.Info("a guard looks out", "event", "guard_started", "guard_pid", cmd.Process.Pid)
				err = cmd.Wait()
			}
			select {
			case <-g.over:
				return
			default:
			}
			log.Warn("the guard has ended; starting another", "event", "guard_ended", "error", fmt.Sprint(err))
			if lived := time.Since(began); lived < minLife {
				select {
				case <-time.After(minLife - lived):
				case <-g.over:
					return
				}
			}
		}
	}()
	return g, nil
}

// goodbye ends the guard.
func (g *guarded) goodbye() {
	close(g.over)
	_, _ = g.pipe.Write([]byte{0}) // it may be between two guards
	g.pipe.Close()
	<-g.done
}
