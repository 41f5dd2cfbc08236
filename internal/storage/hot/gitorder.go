package hot

import (
	"context"
	"strings"
	"time"
)

// Git writes objects first and the names that lead to them afterwards: branches, HEAD, the
// index. Were a branch in S3 before its objects, a sandbox that dies in that moment would
// leave a repository that is broken. So what lies in a git directory outside of objects/ is
// sent when the objects that were written before it are in S3; the objects among
// themselves go in any order.

// gitPlace says in which git directory a path lies, "" for none, and whether it is one of its
// objects.
func gitPlace(path string) (dir string, isObject bool) {
	at := 0
	for part := range strings.SplitSeq(path, "/") {
		end := at + len(part)
		switch {
		case dir != "":
			if part == "objects" && end < len(path) {
				return dir, true
			}
		case strings.HasSuffix(part, ".git") && end < len(path):
			dir = path[:end]
		}
		at = end + 1
	}
	return dir, false
}

// gitGroup is a path's line.Order.Group.
func gitGroup(path string) string {
	if dir, isObject := gitPlace(path); isObject {
		return dir
	}
	return ""
}

// before is upload.Options.Before: the version that is about to be sent is fixed, and is sent
// when the objects that it may name are in S3. Its upload is not counted while it waits.
func (e *Engine) before(ctx context.Context, path string) error {
	dir, isObject := gitPlace(path)
	if dir == "" || isObject {
		return nil
	}
	e.mu.Lock()
	alone := e.alone
	e.yielding++
	e.wake()
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		e.yielding--
		e.mu.Unlock()
	}()
	if !alone {
		// The file may be ahead of what has been observed.
		if err := e.obs.catchUp(ctx, false); err != nil {
			return err
		}
	}
	e.mu.Lock()
	mark := e.line.Mark()
	e.mu.Unlock()
	began := time.Now()
	for {
		e.mu.Lock()
		through, waiters := e.line.GroupThrough(dir, mark), e.waiters
		e.mu.Unlock()
		if through {
			return nil
		}
		select {
		case <-waiters:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if time.Since(began) > yieldLog {
			began = time.Now()
			e.Log.Info("a git repository's names wait for its objects", "event", "git_waits", "path", path)
		}
	}
}

// yieldLog is after how long a wait is said in the log.
const yieldLog = 30 * time.Second
