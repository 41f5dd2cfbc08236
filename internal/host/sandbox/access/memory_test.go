package access

import (
	"testing"

	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

func TestFilesInMemoryLeaveRoom(t *testing.T) {
	const mb = 1 << 20
	for _, tc := range []struct {
		name     string
		limits   datadir.Limits
		asked    Asked
		readOnly bool
		shm, tmp int64
		tooMuch  bool
	}{
		{"base, read-only", datadir.Limits{Memory: 512 * mb, Shm: 64 * mb, Tmp: 256 * mb}, Asked{}, true, 64 * mb, 320 * mb / 3, false},
		{"base, writable", datadir.Limits{Memory: 512 * mb, Shm: 64 * mb}, Asked{}, false, 64 * mb, 0, false},
		{"a browser", datadir.Limits{Memory: 1024 * mb, Shm: 1024 * mb, Tmp: 512 * mb}, Asked{}, true, 448 * mb, 448 * mb / 3, false},
		{"a ceiling below", datadir.Limits{Memory: 512 * mb, Shm: 64 * mb, Tmp: 8 * mb}, Asked{}, true, 64 * mb, 8 * mb, false},
		{"asked for little", datadir.Limits{Memory: 512 * mb, Shm: 64 * mb, Tmp: 100 * mb}, Asked{Tmp: "100m"}, true, 64 * mb, 100 * mb, false},
		{"asked for much", datadir.Limits{Memory: 256 * mb, Shm: 256 * mb, Tmp: 256 * mb}, Asked{Tmp: "256m", Shm: "256m"}, true, 256 * mb, 256 * mb, true},
		{"asked for much of one", datadir.Limits{Memory: 256 * mb, Shm: 192 * mb, Tmp: 128 * mb}, Asked{Shm: "192m"}, true, 192 * mb, 1 * mb, true},
		{"little memory", datadir.Limits{Memory: 64 * mb, Shm: 64 * mb, Tmp: 32 * mb}, Asked{}, true, 20 * mb, 20 * mb / 3, false},
		{"no limit", datadir.Limits{Shm: 64 * mb}, Asked{}, true, 64 * mb, 0, false},
	} {
		files, tooMuch := FitFiles(&tc.limits, tc.asked, tc.readOnly)
		if tc.limits.Shm != tc.shm || tc.limits.Tmp != tc.tmp || tooMuch != tc.tooMuch {
			t.Errorf("%s: /dev/shm %d, /tmp %d, all %d, too much: %v", tc.name, tc.limits.Shm, tc.limits.Tmp, files, tooMuch)
		}
		if room := tc.limits.WorkloadMemory(); !tooMuch && files > room {
			t.Errorf("%s: files may take %d of %d", tc.name, files, room)
		}
	}
}
