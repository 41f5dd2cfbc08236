package lifecycle

import "time"

// budget divides SHUTDOWN_TIMEOUT_SECONDS, from the first SIGTERM (or the command's
// own end) to exit. What a phase does not use is the flush's: its deadline stands
// from the start, and it begins as soon as nothing is left to stop.
type budget struct {
	hooks int64 // pre-stop hooks end here: after 5 s, or a sixth
	flush int64 // what storage has to save by
	end   int64 // exit
	third int64 // from the SIGTERMs to SIGKILL: see killAfter
}

const (
	mostForHooks = int64(5 * time.Second)
	keptForList  = int64(time.Second) // to say what is missing
)

func newBudget(start int64, whole time.Duration) budget {
	w := int64(whole)
	return budget{
		hooks: start + min(mostForHooks, w/6),
		third: w / 3,
		flush: start + w - min(keptForList, w/10),
		end:   start + w,
	}
}

// killAfter is when SIGKILL follows SIGTERMs that are sent now.
func (b budget) killAfter(now int64) int64 { return now + b.third }

// goneAfter is how long to wait for what SIGKILL has not ended at once: a process in an
// uninterruptible sleep. It is short, since nothing more can be done about it and the
// flush needs the time.
const goneAfter = time.Second
