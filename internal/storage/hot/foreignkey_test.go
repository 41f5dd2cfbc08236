package hot

import "testing"

// A key in another form than ours (a raw CR, as aws s3 sync from a Mac lays down) is the file's for
// as long as that is there: an edit goes to it, and so does the deletion.
func TestFileKeepsItsKeyOfAnotherForm(t *testing.T) {
	s := newSandbox(t)
	for _, key := range []string{"Icon\r", "dir\r/f", "gone\r", "empty\r/"} {
		s.bucket.Put(prefix+key, map[bool]string{true: "", false: "v1"}[key == "empty\r/"], nil)
	}
	s.start()
	s.wantFile("Icon\r", "v1")
	s.write("Icon\r", "v2")
	s.write("dir\r/f", "v2")
	s.remove("gone\r")
	s.flushed()
	wantKeys(t, s.keys(), "Icon\r", "dir\r/f", "empty\r/")
	s.want("Icon\r", "v2")
	other := sandboxAt(t, s.bucket, s.proxy).start()
	other.wantFile("Icon\r", "v2")
	other.wantFile("dir\r/f", "v2")
	for range 2 {
		s.start()
		if st := s.e.Status(); st.Conflicts != 0 {
			t.Errorf("%d conflicts", st.Conflicts)
		}
		s.flushed()
	}
	other.flushed()
	wantKeys(t, s.keys(), "Icon\r", "dir\r/f", "empty\r/")
}

// Two keys of one path: one is the file's, the other stays in S3 and is named.
func TestTwoKeysOfOnePath(t *testing.T) {
	for _, known := range []bool{false, true} { // the journal knows the raw one
		s := newSandbox(t)
		s.bucket.Put(prefix+"Icon\r", "raw", nil)
		if known {
			s.start()
			s.flushed()
		}
		s.bucket.Put(prefix+"Icon%0D", "escaped", nil)
		s.start()
		files, kept := "escaped", "Icon\r"
		if known {
			files, kept = "raw", "Icon%0D"
		}
		s.wantFile("Icon\r", files)
		if st := s.e.Status(); len(st.Kept) != 1 || st.Kept[0].Path != kept {
			t.Errorf("kept %+v, want %q", st.Kept, kept)
		}
		s.write("Icon\r", "edited")
		s.flushed()
		wantKeys(t, s.keys(), "Icon\r", "Icon%0D")
		for key, want := range map[string]string{"Icon\r": "edited", "Icon%0D": "escaped"} {
			if kept == "Icon\r" {
				want = map[string]string{"Icon\r": "raw", "Icon%0D": "edited"}[key]
			}
			s.want(key, want)
		}
	}
}
