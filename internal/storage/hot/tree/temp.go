package tree

import "strings"

const (
	tempPrefix = ".sandbox-hydrate-"
	tempDigits = 16 // eight of the Root, eight of the file
	tempSuffix = ".tmp"
	hexDigits  = "0123456789abcdef"
)

// IsTemp says whether name is one under which a file is written before it gets its
// own. Such names are never uploaded, and removed when hydrate starts.
func IsTemp(name string) bool {
	if len(name) != len(tempPrefix)+tempDigits+len(tempSuffix) ||
		!strings.HasPrefix(name, tempPrefix) || !strings.HasSuffix(name, tempSuffix) {
		return false
	}
	for _, c := range []byte(name[len(tempPrefix):][:tempDigits]) {
		if strings.IndexByte(hexDigits, c) < 0 {
			return false
		}
	}
	return true
}

// tempName gives a name that no other file of this Root has had.
func (r *Root) tempName() string {
	b := make([]byte, 0, len(tempPrefix)+tempDigits+len(tempSuffix))
	b = append(b, tempPrefix...)
	b = appendHex(b, r.token)
	b = appendHex(b, r.temps.Add(1))
	b = append(b, tempSuffix...)
	return string(b)
}

func (r *Root) ownTemp(name string) bool {
	var token [8]byte
	return IsTemp(name) && name[len(tempPrefix):][:8] == string(appendHex(token[:0], r.token))
}

func appendHex(b []byte, v uint32) []byte {
	for shift := 28; shift >= 0; shift -= 4 {
		b = append(b, hexDigits[v>>shift&15])
	}
	return b
}
