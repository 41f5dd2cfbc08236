package hot

import (
	"slices"
	"strings"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/storage/hot/journal"
)

// mostListed bounds the lists of a status.
const mostListed = 100

// Status is what is known of the home right now.
func (e *Syncer) Status() contract.HotStatus {
	e.mu.Lock()
	defer e.mu.Unlock()
	st := contract.HotStatus{State: "hydrating", ManifestAge: -1, Hydrated: e.progress.Files.Load()}
	if e.hydrated == nil {
		return st
	}
	h := e.hydrated
	st.State = e.state()
	st.Files, st.Bytes, st.Sequence = int64(e.journal.Len()), e.journal.Bytes(), e.journal.Seq()
	st.DirtyFiles, st.DirtyBytes, st.InFlight = int64(e.queue.Len()), e.queue.Bytes(), int64(e.queue.InFlight())
	st.Uploaded, st.UploadBytes, st.Conflicts = e.counts.uploaded, e.counts.bytes, e.counts.conflicts
	st.Rescans, st.WatchLimit, st.LastSuccess = e.counts.rescans, e.counts.watchLimit, e.counts.success
	st.Hydrated, st.HydrateTook = h.Files, h.Took
	st.Held = e.held
	if !e.manifestAt.IsZero() {
		st.ManifestAge = max(0, time.Since(e.manifestAt))
	}
	st.Kept = keptInS3(h.Kept, e.journal.Twins().All())
	if since, ok := e.queue.Oldest(); ok {
		st.Staleness = max(e.now()-since, 0)
	}
	for _, path := range e.rules.Load().Mounts() {
		st.Mounts = append(st.Mounts, shown(path))
	}
	st.Mounts = st.Mounts[:min(len(st.Mounts), mostListed)]
	for name := range e.unstable {
		st.NotAtRest = append(st.NotAtRest, shown(strings.TrimSuffix(name, "/")))
	}
	for name, reason := range e.failures {
		st.Failed = append(st.Failed, contract.Unsaved{Path: shown(strings.TrimSuffix(name, "/")), Reason: reason})
	}
	for path, why := range e.unsupported.why {
		st.Failed = append(st.Failed, contract.Unsaved{Path: shown(path), Reason: why})
	}
	st.FailedCount = int64(len(st.Failed))
	slices.Sort(st.NotAtRest)
	slices.SortFunc(st.Failed, func(a, b contract.Unsaved) int { return strings.Compare(a.Path, b.Path) })
	st.NotAtRest = st.NotAtRest[:min(len(st.NotAtRest), mostListed)]
	st.Failed = st.Failed[:min(len(st.Failed), mostListed)]
	st.Problem = e.problem()
	return st
}

// keptInS3 are the objects that no file here stands for: those that hydrate found, and second objects of paths.
func keptInS3(found []contract.Unsaved, twins map[string]journal.Twin) []contract.Unsaved {
	kept := slices.Clone(found)
	for _, twin := range twins {
		kept = append(kept, contract.Unsaved{
			Path: twin.Key, Reason: "another key means the same path, and that one is the file's: rename one of the two objects; when the file is deleted, both are",
		})
	}
	slices.SortFunc(kept, func(a, b contract.Unsaved) int { return strings.Compare(a.Path, b.Path) })
	return kept[:min(len(kept), mostListed)]
}

// state is one word for it. With the lock held.
func (e *Syncer) state() string {
	switch {
	case e.lost != nil, e.away() != nil, e.breaker.err != nil && e.breaker.tries > failingAfter:
		return "failed"
	case e.held != "":
		return "held"
	case e.queue.Len() > 0:
		return "syncing"
	}
	return "synced"
}

// failingAfter is how many attempts in a row the store may refuse before the state says so.
const failingAfter = 3
