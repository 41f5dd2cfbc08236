package hot

import (
	"log/slog"
	"sync/atomic"

	"github.com/matrx/sandbox/internal/storage/hot/ignore"
	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
)

// home is the directory that is kept in S3, with all that is known of it on both sides: its files, the
// journal of what S3 holds, and the rules of what is left out.
type home struct {
	root    *tree.Root
	rootDev uint64
	journal *journal.Journal
	exclude []string // HOT_SYNC_EXCLUDE
	rules   atomic.Pointer[ignore.Rules]
	log     *slog.Logger

	behind atomic.Bool // the journal could not be written
}

// remember is told how each writing of the journal went. A journal that cannot be written
// stops nothing (see package journal), and is said once.
func (h *home) remember(err error) {
	failed := err != nil
	if h.behind.Swap(failed) == failed {
		return
	}
	if failed {
		h.log.Error("the journal is behind", "event", "journal_failed", "error", err)
	} else {
		h.log.Info("the journal has caught up", "event", "journal_written")
	}
}
