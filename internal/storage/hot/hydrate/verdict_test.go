package hydrate

import "testing"

// Every combination of facts has its verdict, and a file that is nowhere else is never
// replaced.
func TestEveryVerdict(t *testing.T) {
	for n := range 1 << 7 {
		bit := func(i int) bool { return n>>i&1 == 1 }
		f := facts{journalled: bit(0), same: bit(1), here: bit(2), changed: bit(3), deleted: bit(4), rebooted: bit(5), racy: bit(6)}
		if f.same && !f.journalled || !f.journalled && !f.changed || f.racy && f.changed {
			continue // cannot be
		}
		v := f.judge()
		switch {
		case !f.here && v != fetched && !(v == nothing && f.deleted && f.same):
			t.Errorf("%+v: %d, and nothing is here", f, v)
		case f.here && f.changed && v == fetched:
			t.Errorf("%+v: what only this disk has is replaced", f)
		case f.here && !f.journalled && v != compared:
			t.Errorf("%+v: %d of what the journal does not know", f, v)
		case f.here && f.racy && v == fetched:
			t.Errorf("%+v: what may be only on this disk is replaced unread", f)
		case f.here && f.journalled && !f.changed && !f.racy && !f.same && v != fetched:
			t.Errorf("%+v: %d, and S3 has another version", f, v)
		case f.here && f.journalled && f.same && !f.changed && !f.rebooted && v != nothing:
			t.Errorf("%+v: %d, and nothing happened", f, v)
		case f.rebooted && f.here && f.journalled && v == nothing:
			t.Errorf("%+v: the stat is believed after a crash of the host", f)
		}
	}
}
