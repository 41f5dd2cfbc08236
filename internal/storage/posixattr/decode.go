package posixattr

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// Decode reads the attributes of an object; isDir says that its key ended in "/".
// What the metadata does not say is 0644 (0755 for a directory), the object's Last-Modified,
// and owner 0. setuid and setgid bits are dropped: they never enter a sandbox.
//
// The Attr is good to use with an error as well: the error names the values that could
// not be read, in whose place the defaults stand. Mode's type is that of the metadata,
// save that a key ending in "/" is always a directory.
func Decode(meta map[string]string, lastModified time.Time, isDir bool) (Attr, error) {
	a := Attr{Mode: TypeFile | 0o644, Mtime: lastModified.UnixNano()}
	if isDir {
		a.Mode = TypeDir | 0o755
	}
	var errs []error
	read := func(key string, parse func(string) error) bool {
		v, ok := meta[key]
		if !ok {
			return false
		}
		if err := parse(strings.TrimSpace(v)); err != nil {
			errs = append(errs, fmt.Errorf("metadata %s=%q: %w", key, v, err))
			return false
		}
		return true
	}

	mode := func(parse func(string) (uint32, error)) func(string) error {
		return func(v string) error {
			m, err := parse(v)
			if err == nil {
				a.Mode = withType(m, a.Mode, isDir)
			}
			return err
		}
	}
	_ = read(permissionsKey, mode(parsePermissions)) || read("mode", mode(parseMode))

	mtime := func(parse func(string) (int64, error)) func(string) error {
		return func(v string) error {
			t, err := parse(v)
			if err == nil {
				a.Mtime = t
			}
			return err
		}
	}
	_ = read(mtimeKey, mtime(parseFileTime)) || read("mtime", mtime(parseSeconds))

	read(holesKey, func(v string) error {
		n, err := strconv.ParseUint(v, 10, 63)
		if err == nil {
			a.Holes = int64(n)
		}
		return err
	})
	id := func(to *uint32) func(string) error {
		return func(v string) error {
			n, err := strconv.ParseUint(v, 10, 32)
			if err == nil {
				*to = uint32(n)
			}
			return err
		}
	}
	_ = read(ownerKey, id(&a.UID)) || read("uid", id(&a.UID))
	_ = read(groupKey, id(&a.GID)) || read("gid", id(&a.GID))
	return a, errors.Join(errs...)
}

// withType completes a mode that was read: permissions alone keep the type that the key implies.
func withType(mode, implied uint32, isDir bool) uint32 {
	if mode&TypeMask == 0 || isDir {
		mode = mode&^TypeMask | implied&TypeMask
	}
	return mode &^ setID
}

var errMode = errors.New("not a file mode")

// parsePermissions reads file-permissions: octal, seen as 0100664, 100755 and 0644.
func parsePermissions(v string) (uint32, error) {
	m, err := strconv.ParseUint(v, 8, 32)
	if err != nil || !knownType(uint32(m)) {
		return 0, errMode
	}
	return uint32(m), nil
}

// parseMode reads "mode", which rclone writes in octal and s3fs in decimal. A leading
// zero is octal. Else the reading with a real file type wins; they cannot both have
// one, since the decimal reading of six octal digits is over 0177777 and that of five
// (40755) has type bits that no file has.
func parseMode(v string) (uint32, error) {
	if strings.HasPrefix(v, "0") {
		return parsePermissions(v)
	}
	if m, err := strconv.ParseUint(v, 10, 32); err == nil && m > 0o7777 && knownType(uint32(m)) {
		return uint32(m), nil
	}
	return parsePermissions(v)
}

// knownType says that the mode has the type bits of inode(7), or none.
func knownType(m uint32) bool {
	if m > 0o177777 {
		return false
	}
	switch m & TypeMask {
	case 0, TypeFile, TypeDir, TypeSymlink, 0o010000, 0o020000, 0o060000, 0o140000:
		return true
	}
	return false
}

// parseFileTime reads file-mtime: with the suffix "ns" nanoseconds, without milliseconds
// (FSx for Lustre guide).
func parseFileTime(v string) (int64, error) {
	if ns, ok := strings.CutSuffix(v, "ns"); ok {
		return strconv.ParseInt(ns, 10, 64)
	}
	ms, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return 0, err
	}
	if ns := ms * 1e6; ns/1e6 == ms {
		return ns, nil
	}
	return 0, strconv.ErrRange
}

// parseSeconds reads "mtime": seconds with a fraction (rclone, s3fs), or a time in
// RFC 3339 (rclone's --metadata). The fraction is read exactly: a float64 is only good
// for some 200 ns today.
func parseSeconds(v string) (int64, error) {
	if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
		return nanoseconds(t)
	}
	if len(v) > 64 || strings.ContainsAny(v, "/eEpPxX_") { // fractions, and exponents that would take for ever
		return 0, strconv.ErrSyntax
	}
	r, ok := new(big.Rat).SetString(v)
	if !ok {
		return 0, strconv.ErrSyntax
	}
	r.Mul(r, big.NewRat(1e9, 1))
	ns := new(big.Int).Div(r.Num(), r.Denom())
	if !ns.IsInt64() {
		return 0, strconv.ErrRange
	}
	return ns.Int64(), nil
}

// nanoseconds is t.UnixNano where that is defined: the years 1678 to 2262.
func nanoseconds(t time.Time) (int64, error) {
	ns := t.UnixNano()
	if !time.Unix(0, ns).Equal(t) {
		return 0, strconv.ErrRange
	}
	return ns, nil
}
