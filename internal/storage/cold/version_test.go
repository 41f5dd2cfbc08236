package cold

import (
	"testing"

	"github.com/matrx/sandbox/internal/storage/cold/pending"
)

// TestNodeKeepsVersion of any form, through changes of its size here.
func TestNodeKeepsVersion(t *testing.T) {
	t.Parallel()
	const sum = "00d41d8cd98f00b204e9800998ecf842"
	v := func(etag string, size, modified int64) version {
		return version{ETag: etag, Size: size, Modified: modified}
	}
	for name, tt := range map[string]struct {
		v      version
		packed bool
	}{
		"nothing":             {version{}, true},
		"of one request":      {v(sum, 7, 1<<31), true},
		"of parts":            {v(sum+"-10000", 7, 1), true},
		"of no part":          {v(sum+"-0", 7, 1), true},
		"of too many parts":   {v(sum+"-65534", 7, 1), false},
		"in capitals":         {v("00D41D8CD98F00B204E9800998ECF842", 7, 1), false},
		"with a zero before":  {v(sum+"-01", 7, 1), false},
		"with a sign":         {v(sum+"-+1", 7, 1), false},
		"with an empty end":   {v(sum+"-", 7, 1), false},
		"of two hyphens":      {v(sum+"-1-1", 7, 1), false},
		"short":               {v("abc", 7, 1), false},
		"long":                {v(sum+"0", 7, 1), false},
		"of another size":     {v(sum, 8, 1), false},
		"before the epoch":    {v(sum, 7, -1), false},
		"in the far future":   {v(sum, 7, 1<<32), false},
		"not of digits alone": {v("g"+sum[1:], 7, 1), false},
	} {
		t.Run(name, func(t *testing.T) {
			n := &node{kind: pending.File, extra: &nothing, size: 7}
			if n.setRemote(tt.v); n.remote() != tt.v || n.hasRemote() != (tt.v.ETag != "") || (n.form != formExtra) != tt.packed {
				t.Errorf("%+v is kept as %+v, form %d", tt.v, n.remote(), n.form)
			}
			if tt.v.ETag != "" && (!n.isRemote(tt.v.ETag, tt.v.Size) || n.isRemote(tt.v.ETag, tt.v.Size+1) || n.isRemote(tt.v.ETag+"0", tt.v.Size)) {
				t.Error("it is taken for another one, or not for itself")
			}
			for _, size := range []int64{8, 0, 7} {
				if n.setSize(size); n.remote() != tt.v || n.size != size {
					t.Errorf("%+v is kept as %+v when the file has %d bytes", tt.v, n.remote(), size)
				}
			}
			if n.setRemote(version{}); n.remote() != (version{}) || n.hasRemote() {
				t.Errorf("nothing is kept as %+v", n.remote())
			}
		})
	}
	if !NothingIsWritten() {
		t.Error("what nodes share was written")
	}
}
