// Package verdict is the suite's memory on this machine: what it last said of an image, by
// the image's digest, so that a program that chooses images can tell those that were proven from
// those that say so.
//
// The suite writes a record when it has judged an image as a whole; a run that was
// narrowed to some requirements leaves one only when it found a MUST that does not hold. A record
// is about bytes, not about a name: an image that was built again has none. One file a
// record, in the directory of Dir; they can be removed at any time, and are then unknown.
package verdict

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// Record is one verdict.
type Record struct {
	Digest   string    `json:"image_digest"` // of the image's configuration: what docker calls its ID
	Image    string    `json:"image"`        // what it was called then
	Verdict  string    `json:"verdict"`      // conformant, partial, not conformant
	Contract string    `json:"contract_version"`
	Profile  string    `json:"profile"`
	Suite    string    `json:"suite_version"`
	Ended    time.Time `json:"ended"`
	Failed   []string  `json:"failed,omitempty"` // IDs of the requirements that do not hold
}

// ErrNone says that there is no record of an image.
var ErrNone = errors.New("the suite has no record of the image")

// Dir is where the records of this user are: matrx-sandbox/conformance below
// $XDG_STATE_HOME (XDG base directory specification 0.8), which is ~/.local/state when it is not set.
func Dir() (string, error) {
	base := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(base) { // "All paths ... must be absolute. [A relative one] should be considered invalid"
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("cannot tell where the suite's records are: %w; set HOME or XDG_STATE_HOME", err)
		}
		base = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(base, "matrx-sandbox", "conformance"), nil
}

var digestForm = regexp.MustCompile(`^sha256:([0-9a-f]{64})$`)

func file(dir, digest string) (string, error) {
	m := digestForm.FindStringSubmatch(digest)
	if m == nil {
		return "", fmt.Errorf("%q is no digest of an image, sha256: and 64 digits", digest)
	}
	return filepath.Join(dir, m[1]+".json"), nil
}

// Save keeps a record in the place of an older one about the same image.
func Save(dir string, r Record) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot record the verdict on %s: %w", r.Image, err)
		}
	}()
	name, err := file(dir, r.Digest)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	// Renamed into place: a reader, and a second suite, never see half of it.
	f, err := os.CreateTemp(dir, ".record-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(append(text, '\n')); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// Find reads the record of an image: ErrNone when there is none.
func Find(dir, digest string) (Record, error) {
	name, err := file(dir, digest)
	if err != nil {
		return Record{}, err
	}
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return Record{}, fmt.Errorf("%s: %w", digest, ErrNone)
	}
	if err != nil {
		return Record{}, err
	}
	var r Record
	if err := json.Unmarshal(text, &r); err != nil {
		return Record{}, fmt.Errorf("cannot read the suite's record %s: %w; remove it and run the suite again", name, err)
	}
	if r.Digest != digest {
		return Record{}, fmt.Errorf("the suite's record %s is of another image, %s; remove it and run the suite again", name, r.Digest)
	}
	return r, nil
}
