package hot

import (
	"context"
	"strings"
	"time"
)

// Git writes objects first and the names that lead to them afterwards: branches, HEAD, the
// index. Were a branch in S3 before its objects, a sandbox that dies in that moment would
// leave a repository that is broken. So what lies in a git directory has an order: objects, in
// any order among themselves; then everything else, when the objects that were written
// before it are in S3; HEAD last, when the branches that were written before it are, too.

// gitGroup is a path's queue.Order.Group: which of its git directory's files it belongs to, if
// others have to wait for those.
func gitGroup(path string) string {
	dir, rest := gitPlace(path)
	switch {
	case dir == "":
	case isGitObject(rest):
		return dir + gitObjects
	case strings.Contains(rest, "/refs/"), strings.HasSuffix(rest, "/packed-refs"):
		return dir + gitRefs
	}
	return ""
}

// Names that no path has.
const (
	gitObjects = "\x00objects"
	gitRefs    = "\x00refs"
)

// gitBefore are the groups that have to be in S3 before a path.
func gitBefore(path string) []string {
	dir, rest := gitPlace(path)
	switch {
	case dir == "", isGitObject(rest):
		return nil
	case strings.HasSuffix(rest, "/HEAD") && !strings.Contains(rest, "/logs/"):
		return []string{dir + gitObjects, dir + gitRefs}
	}
	return []string{dir + gitObjects}
}

// isGitObject: what lies beside the objects and lists commits or packs is not one of them. A
// commit-graph that came before its commits makes git fsck fail.
func isGitObject(rest string) bool {
	return strings.Contains(rest, "/objects/") &&
		!strings.Contains(rest, "/objects/info/commit-graph") && !strings.Contains(rest, "/objects/pack/multi-pack-index")
}

// gitPlace cuts a path behind its outermost git directory: a worktree's or a submodule's lies
// within, and shares its objects or has its own; "" when it lies in none.
func gitPlace(path string) (dir, rest string) {
	for at := 0; ; {
		end := strings.IndexByte(path[at:], '/')
		if end < 0 {
			return "", ""
		}
		end += at
		if strings.HasSuffix(path[at:end], ".git") {
			return path[:end], path[end:]
		}
		at = end + 1
	}
}

// before is upload.Options.Before: the version that is about to be sent is fixed, and is sent
// when what it may name is in S3. Its upload is not counted while it waits.
func (e *Syncer) before(ctx context.Context, path string) error {
	groups := gitBefore(path)
	if len(groups) == 0 {
		return nil
	}
	e.mu.Lock()
	alone := e.quiesced
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
	mark := e.queue.Mark()
	e.mu.Unlock()
	began := time.Now()
	for {
		e.mu.Lock()
		through, waiters := true, e.waiters
		for _, g := range groups {
			through = through && e.queue.GroupThrough(g, mark)
		}
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
