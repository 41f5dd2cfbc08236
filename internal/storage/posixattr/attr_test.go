package posixattr

import (
	"testing"
	"time"
)

func TestEncodeDecode(t *testing.T) {
	for _, a := range []Attr{
		{Mode: 0o100644, Mtime: 1732279200123456789, UID: 1000, GID: 1000},
		{Mode: 0o040700, Mtime: -1, UID: 0, GID: 4294967295},
		{Mode: 0o120777, Mtime: 0},
		{Mode: 0o101777, Mtime: 1<<63 - 1},
		{Mode: 0o100644, Mtime: 1, Holes: 1 << 40},
	} {
		m := Encode(a, "id")
		if m[WriteIDKey] != "id" {
			t.Errorf("%v: write id %q", a, m[WriteIDKey])
		}
		got, err := Decode(m, time.Unix(5, 0), a.Type() == TypeDir)
		if err != nil || got != a {
			t.Errorf("Decode(%v) = %v, %v; want %v", m, got, err, a)
		}
	}
	if m := Encode(Attr{Mode: 0o100644, Mtime: 7, UID: 1, GID: 2}, ""); len(m) != 4 ||
		m["file-permissions"] != "0100644" || m["file-mtime"] != "7ns" || m["file-owner"] != "1" || m["file-group"] != "2" {
		t.Errorf("the form of the metadata is a format on disk and has changed: %v", m)
	}
	if m := Encode(Attr{Mode: 0o040755}, ""); m["file-permissions"] != "0040755" {
		t.Errorf("directory: %v", m)
	}
}

// TestDecodeOthers reads what other tools are known to write.
func TestDecodeOthers(t *testing.T) {
	lm := time.Unix(1700000000, 0)
	def := lm.UnixNano()
	for _, c := range []struct {
		name  string
		meta  map[string]string
		dir   bool
		mode  uint32
		mtime int64
		bad   bool
	}{
		{"aws s3 sync writes none", nil, false, 0o100644, def, false},
		{"a directory without metadata", nil, true, 0o040755, def, false},
		{"DataSync", map[string]string{"file-permissions": "0100664", "file-mtime": "1602647222222000000ns"}, false, 0o100664, 1602647222222000000, false},
		{"FSx without the zero", map[string]string{"file-permissions": "100755", "file-mtime": "1602647222222000000ns"}, false, 0o100755, 1602647222222000000, false},
		{"permissions alone", map[string]string{"file-permissions": "0600"}, false, 0o100600, def, false},
		{"milliseconds when there is no ns", map[string]string{"file-mtime": "1602647222222"}, false, 0o100644, 1602647222222000000, false},
		{"a directory, by its key", map[string]string{"file-permissions": "0100700"}, true, 0o040700, def, false},
		{"rclone's mtime", map[string]string{"mtime": "1354040105.123456789"}, false, 0o100644, 1354040105123456789, false},
		{"rclone --metadata", map[string]string{"mtime": "2006-01-02T15:04:05.999999999Z", "mode": "100664"}, false, 0o100664, 1136214245999999999, false},
		{"rclone --metadata with a zero", map[string]string{"mode": "0100600"}, false, 0o100600, def, false},
		{"s3fs", map[string]string{"mode": "33261", "mtime": "1700000001"}, false, 0o100755, 1700000001e9, false},
		{"s3fs with a fraction", map[string]string{"mode": "33188", "mtime": "1700000001.000000005"}, false, 0o100644, 1700000001000000005, false},
		{"s3fs, a directory without a slash", map[string]string{"mode": "16877"}, false, 0o040755, def, false},
		{"s3fs, a link", map[string]string{"mode": "41471"}, false, 0o120777, def, false},
		{"octal of a directory", map[string]string{"mode": "40755"}, false, 0o040755, def, false},
		{"before the epoch", map[string]string{"mtime": "-1.5"}, false, 0o100644, -1500000000, false},
		{"our names win", map[string]string{"file-permissions": "0100600", "mode": "33261", "file-mtime": "5ns", "mtime": "9"}, false, 0o100600, 5, false},
		{"setuid and setgid are dropped", map[string]string{"file-permissions": "0107755"}, false, 0o101755, def, false},

		{"no number", map[string]string{"file-permissions": "rwxr-xr-x"}, false, 0o100644, def, true},
		{"no type of file", map[string]string{"file-permissions": "0170644"}, false, 0o100644, def, true},
		{"too large", map[string]string{"file-mtime": "9223372036854775807"}, false, 0o100644, def, true},
		{"a fraction", map[string]string{"mtime": "1/3"}, false, 0o100644, def, true},
		{"an exponent", map[string]string{"mtime": "1e99999999"}, false, 0o100644, def, true},
		{"a year out of range", map[string]string{"mtime": "9999-01-02T15:04:05Z"}, false, 0o100644, def, true},
		{"the second name serves when the first is bad", map[string]string{"file-mtime": "x", "mtime": "3"}, false, 0o100644, 3e9, true},
	} {
		a, err := Decode(c.meta, lm, c.dir)
		if a.Mode != c.mode || a.Mtime != c.mtime || (err != nil) != c.bad {
			t.Errorf("%s: Decode(%v) = mode %07o mtime %d, %v; want %07o %d, error %v", c.name, c.meta, a.Mode, a.Mtime, err, c.mode, c.mtime, c.bad)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("0100644", "5ns", "33188", "1.5")
	f.Add("100755", "5", "0100644", "2006-01-02T15:04:05Z")
	f.Fuzz(func(t *testing.T, perm, fmtime, mode, mtime string) {
		a, _ := Decode(map[string]string{"file-permissions": perm, "file-mtime": fmtime, "mode": mode, "mtime": mtime}, time.Unix(1, 2), false)
		if a.Mode&setID != 0 || a.Type() == 0 {
			t.Fatalf("mode %o", a.Mode)
		}
		b, err := Decode(Encode(a, ""), time.Time{}, a.Type() == TypeDir)
		if err != nil || a != b {
			t.Fatalf("%v came back as %v, %v", a, b, err)
		}
	})
}
