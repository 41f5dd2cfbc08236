package hot

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/matrx/sandbox/internal/storage/hot/queue"
	"github.com/matrx/sandbox/internal/storage/hot/upload"
	"github.com/matrx/sandbox/internal/storage/sqlitefile"
)

// dispatch gives what may go to uploads, until ctx ends.
func (e *Syncer) dispatch(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		started, at := e.start(ctx, &work)
		if started {
			continue
		}
		timer.Reset(at)
		select {
		case <-ctx.Done():
		case <-e.kick:
		case <-timer.C:
		}
	}
}

// start starts the next job, or says how long to wait for one at most.
func (e *Syncer) start(ctx context.Context, work *sync.WaitGroup) (started bool, wait time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.reportProblem()
	now := e.now()
	wait = time.Hour
	if e.queue.InFlight() > 0 {
		wait = awayAfter // they may all be trying again and again
	}
	if e.lost != nil || e.queue.InFlight()+len(e.verify.flying)-e.yielding >= e.limit.now {
		return false, wait
	}
	if at, open := e.breaker.open(now, e.queue.InFlight()-e.yielding); open {
		return false, min(wait, max(at-now, 0))
	}
	if j, ok := e.queue.Next(now); ok {
		if j.Kind == queue.Delete && e.holdForStuckLocked(j.Name) {
			e.queue.Done(j, queue.Retry, now+retryAfter, now)
			return true, 0
		}
		how := upload.How{Quiesced: e.quiesced, Unstable: e.unstable[j.Name] >= unstableMany, Force: e.blocked[j.Name]}
		noted := e.stuckFiles.ino[j.Name]
		work.Go(func() { e.finish(j, how, noted, final(e.sender.Do(ctx, j.Kind, j.Name, how), how.Quiesced)) })
		return true, 0
	}
	if path, ok := e.verify.next(now); ok {
		alone := e.quiesced
		work.Go(func() { e.verified(path, final(e.sender.Verify(ctx, path, alone), alone)) })
		return true, 0
	}
	if at, ok := e.queue.Wake(); ok {
		wait = min(wait, max(at-now, 0))
	}
	if at, ok := e.verify.wake(); ok {
		wait = min(wait, max(at-now, 0))
	}
	return false, wait
}

const (
	// unstableMany is after how many failures to find a file at rest it is copied, however
	// large it is.
	unstableMany = 3

	stuckFirst, stuckMost       = 10 * time.Second, 5 * time.Minute
	suspectFirst, suspectMost   = time.Second, time.Minute
	unstableFirst, unstableMost = 2 * time.Second, time.Minute
	retryAfter                  = 100 * time.Millisecond
)

// finish takes note of what became of a job. noted is the inode that stuckFiles had of its name when it began.
func (e *Syncer) finish(j queue.Job, how upload.How, noted uint64, r upload.Result) {
	if r.WaitsFor == "" || !e.isStuck(r.WaitsFor) { // else it waits, as before, and would be looked at again and again
		e.obs.look(r.Recheck...)
	}
	if r.Mounted {
		e.obs.do(e.obs.scanSoon) // status names the mount then, and what waits for its name goes on
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	retry := now + retryAfter
	path := strings.TrimSuffix(j.Name, "/")
	if r.Sent {
		e.counts.uploaded++
		e.counts.bytes += r.Bytes
	}
	if r.Conflict != "" {
		e.counts.conflicts++
	}
	e.limit.done(now, r.Blame != upload.ThisName)
	if r.Outcome == queue.Stored && r.Sent {
		e.storeAnsweredLocked()
	}
	switch {
	case r.Blame != upload.ThisName:
		r.Outcome, retry = e.suspect(j.Name, r, now)
	case r.NotAtRest:
		n := e.unstable[j.Name]
		e.unstable[j.Name] = n + 1
		retry = now + backoff(unstableFirst, unstableMost, n)
	case r.WaitsFor != "" && e.queue.Stuck(r.WaitsFor):
		// Nothing is won by trying before that one can be stored or deleted, and a flush would not end.
		r.Outcome, retry = queue.Stuck, now+backoff(stuckFirst, stuckMost, e.failed[j.Name].tries)
		e.fail(j.Name, r.Err)
	case r.Outcome == queue.Stuck:
		retry = now + backoff(stuckFirst, stuckMost, e.failed[j.Name].tries)
		e.fail(j.Name, r.Err)
	case r.BlockedBy != "":
		e.obs.do(func() { e.lookInTheWay(j.Name, r.BlockedBy) })
	case r.Outcome == queue.Changed:
		retry = now + e.Config.Hot.MaxStaleness
	case r.Outcome == queue.Stored:
		e.clearFailureLocked(j.Name)
		if r.Err != nil { // stored as far as this home goes: another client's object stays as it is
			e.unsupported.set(path, r.Err.Error())
		}
		if r.Racy {
			e.verify.add(path, now)
		}
		if j.Kind == queue.Delete {
			e.moved.drop(path)
		}
	}
	if (r.Outcome == queue.Stuck || r.Outcome == queue.Unstable) && e.quiesced && !how.Quiesced {
		retry = now // that was before the workload ended
	}
	refused := r.Outcome == queue.Stuck || r.Outcome == queue.Unstable
	if j.Kind == queue.Write && refused && e.stuckFiles.ino[j.Name] == noted { // else another file has the name since
		e.noteStuckLocked(j.Name, r.Ino)
	}
	e.queue.Done(j, r.Outcome, retry, now)
	if e.queue.Unobserved() {
		e.obs.poke() // it may be waiting for an event that never comes
	}
	switch kind, pending := e.queue.Has(j.Name); {
	case !pending:
		e.clearFailureLocked(j.Name)
	case kind == queue.Delete && j.Kind == queue.Write:
		// It was deleted while it was written, and the journal knows only of the writing.
		delete(e.unstable, j.Name) // nothing is left that could rest
		e.remember(e.journal.AddTombstone(path))
		e.noteMovedLocked(path)
		e.obs.do(func() { e.lookAgain(j.Name) })
	}
	if r.Outcome == queue.Stored {
		for _, suffix := range sqlitefile.Suffixes {
			e.queue.Retry(path + suffix) // it may have waited for this database
		}
	}
	if e.queue.Len() == 0 {
		e.counts.success = time.Now()
		e.storeAnsweredLocked() // nothing is left that could fail
	}
	e.reportProblem()
	e.broadcastLocked()
}

// lookAgain looks at what was seen gone while it was written: it may be there again, see queue.Done.
func (e *Syncer) lookAgain(name string) {
	e.obs.worked = true // the next turn catches up with what is seen here
	e.obs.lookAt(strings.TrimSuffix(name, "/"))
	e.mu.Lock()
	defer e.mu.Unlock()
	e.queue.Rechecked(name, e.now())
}

// lookInTheWay looks at what S3 has to lose before it can hold name. When it is gone, the queue
// knows now that name waits; else it stays in S3, and name may go there all the same.
func (e *Syncer) lookInTheWay(name, other string) {
	e.obs.worked = true
	e.obs.lookAt(other)
	e.obs.lookAt(strings.TrimSuffix(name, "/"))
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, pending := e.queue.Has(name); pending {
		e.blocked[name] = true
	}
}

// final is a result of a job that began when no process was left that could write: what was
// read then is the last version, however young its times are, and comparing it until they
// are old would only hold the flush up. (The journal still has it as one to look at again.)
func final(r upload.Result, alone bool) upload.Result {
	r.Racy = r.Racy && !alone
	return r
}

func backoff(first, most time.Duration, tries int) time.Duration {
	return min(first<<min(tries, 10), most)
}

// reportProblem tells the session what an operator should know. With the lock held.
func (e *Syncer) reportProblem() {
	p := e.problem()
	if p == e.last || e.Problem == nil {
		return
	}
	e.last = p
	e.Problem(p)
}

// awayAfter is how long the store may fail to answer before that is said: a job tries again
// by itself for longer than that.
const awayAfter = 5 * time.Second

// away is why nothing reaches the store, if something should and that has been so for a while.
func (e *Syncer) away() error {
	if e.queue.Len() == 0 {
		return nil
	}
	since, err := e.Store.Away()
	if err == nil || time.Since(since) < awayAfter {
		return nil
	}
	return err
}

// problem is what concerns more than a file. With the lock held.
func (e *Syncer) problem() string {
	switch {
	case e.lost != nil:
		return e.lost.Error()
	case e.breaker.err != nil:
		return e.breaker.err.Error()
	case e.away() != nil:
		return e.away().Error()
	case e.held != "":
		return "deletions are held back: " + e.held
	}
	if err := e.journal.Err(); err != nil {
		return err.Error()
	}
	return ""
}

// verified takes note of a second comparison.
func (e *Syncer) verified(path string, r upload.Result) {
	e.obs.look(r.Recheck...)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.verify.done(path)
	if r.Racy {
		e.verify.add(path, e.now())
	}
	e.broadcastLocked()
}
