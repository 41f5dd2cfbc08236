package run

import (
	"context"
	"errors"
	"fmt"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/engine"
)

// leave lets the sandbox run when it is ready. One that ends before is ended here.
func (x *session) leave(f *flight, signals *signalQueue) (int, error) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	defer f.onTime() // from then on the daemon counts
	defer x.sayWorkspace(ctx)()
	ready := make(chan error, 1)
	go func() {
		_, err := x.sandboxDir.AwaitState(ctx, func(st contract.State) bool { return st.Ready || st.Phase == contract.PhaseExit })
		ready <- err
	}()
	stopper := stopper{x: x}
	defer stopper.close()
	if x.sandboxDir.Marks().Stop() { // see endNow
		stopper.begin(ctx)
	}
	for {
		select {
		case sig := <-signals.c:
			if forwards(sig) {
				go stopper.send(ctx, signalName(sig))
			} else if stopper.signal(ctx) {
				return x.left(sig)
			}
		case err := <-stopper.failed:
			x.out.say("%v", err)
		case err := <-f.late:
			x.late(err)
		case exit := <-f.ended:
			if exit.Err != nil && !errors.Is(exit.Err, engine.ErrNoContainer) {
				f.ended = x.again(ctx, exit.Err)
				continue
			}
			return x.end(ctx, exit.Code)
		case err := <-ready:
			ready = nil
			if err != nil {
				return 0, fmt.Errorf("the sandbox %s runs, but whether it is ready cannot be told: %w", x.record.SandboxID, err)
			}
			if st, _ := x.sandboxDir.State(); st.Phase != contract.PhaseExit && !x.sandboxDir.Marks().Stop() {
				x.out.left(x.record)
				return 0, nil
			}
		}
	}
}
