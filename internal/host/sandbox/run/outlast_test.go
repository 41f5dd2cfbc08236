package run

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// Once the sandbox is told to end, a call to the engine that is under way has its time, and no more.
func TestCallOutlastsTheWordToEndForItsTimeAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		making, tell := context.WithCancel(t.Context())
		call, over := outlast(making)
		defer over()
		time.Sleep(time.Hour)
		tell()
		time.Sleep(toldWithin - time.Second)
		synctest.Wait()
		if call.Err() != nil {
			t.Error("it has ended before its time")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if call.Err() == nil {
			t.Error("it has not ended")
		}
	})
	synctest.Test(t, func(t *testing.T) { // one that is answered leaves no goroutine, or the bubble would not end
		making, tell := context.WithCancel(t.Context())
		_, over := outlast(making)
		tell()
		over()
	})
}
