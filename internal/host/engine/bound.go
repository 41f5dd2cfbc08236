package engine

import (
	"context"
	"errors"
	"time"
)

// callWithin bounds each call to the engine but those that follow a container (Wait, Logs): an
// engine that hangs, over its storage driver's lock for one, must not hang every program that asks it. The
// removal of a large volume takes minutes.
const callWithin = 10 * time.Minute

// errUnanswered says that an engine has taken a call and not answered it. It may still carry it out.
var errUnanswered = errors.New("the container engine does not answer; see its log for what holds it up")

// bounded gives a call an end.
func (e *Engine) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, e.within)
}
