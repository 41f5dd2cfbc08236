package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
	"golang.org/x/sys/unix"
)

// User is the user's own catalog: images that were registered, what they are mapped to,
// and tasks of the user's own. It is a file of YAML that can be read and edited; what is
// written by UpdateUser does not keep comments.
type User struct {
	Format int             `yaml:"format"` // userFormat
	Tasks  map[string]Task `yaml:"tasks,omitempty"`
	Images []Registered    `yaml:"images"`
}

// userFormat is the form of the file. A newer one is refused rather than half understood.
const userFormat = 1

// Registered is an image of the user's own, as it was when it was registered.
type Registered struct {
	Reference  string    `yaml:"reference"`
	Digest     string    `yaml:"digest"` // of its configuration: what docker calls its ID
	Source     string    `yaml:"source"` // engine or registry
	Registered time.Time `yaml:"registered"`
	SizeMB     int       `yaml:"size_mb,omitempty"` // unpacked; 0 is unknown

	// What the user has mapped to it: tasks by their first names, runtimes by their tools'.
	Tasks    []string `yaml:"tasks,omitempty"`
	Runtimes []string `yaml:"runtimes,omitempty"`

	// Manifest is the image's /etc/sandbox/capabilities.json, letter by letter, so that what
	// this version does not know of it is kept.
	Manifest string `yaml:"manifest"`
}

// Parse reads the manifest.
func (r *Registered) Parse() (*Manifest, error) {
	var m Manifest
	if err := json.Unmarshal([]byte(r.Manifest), &m); err != nil {
		return nil, fmt.Errorf("cannot read the manifest of %s: %w", r.Reference, err)
	}
	return &m, nil
}

// UserFile is where the user's catalog is: matrx-sandbox/catalog.yaml below
// $XDG_CONFIG_HOME, which is ~/.config when it is not set. It need not exist. It is "" for
// a user without a home, and so without a catalog.
func UserFile() (string, error) {
	base := os.Getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(base) { // a relative one is invalid by the specification
		home, err := os.UserHomeDir()
		if err != nil {
			return "", nil //nolint:nilerr // without a home there is no catalog of the user's
		}
		base = filepath.Join(home, ".config")
	}
	return filepath.Join(base, "matrx-sandbox", "catalog.yaml"), nil
}

// ReadUser reads the user's catalog. A file that is not there is an empty one.
func ReadUser(file string) (*User, error) {
	u := &User{Format: userFormat}
	if file == "" {
		return u, nil
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return u, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read your catalog: %w", err)
	}
	if err := decode(text, u); err != nil {
		return nil, fmt.Errorf("cannot read your catalog %s: %w; mend the file, or move it away and register your images again", file, err)
	}
	if u.Format != userFormat {
		return nil, fmt.Errorf("cannot read your catalog %s: it has the format %d, and this program knows %d; use a newer one", file, u.Format, userFormat)
	}
	for i := range u.Images {
		if _, err := u.Images[i].Parse(); err != nil {
			return nil, fmt.Errorf("cannot read your catalog %s: %w; register the image again", file, err)
		}
	}
	return u, nil
}

const userHead = `# Your images: sandbox images register and unregister write this file, and keep no
# comments but this one.
`

// UpdateUser changes the user's catalog: change sees what is in the file now, and what it
// leaves is written. A second process waits meanwhile. When change fails, or the file cannot be
// written whole, the file stays as it was.
func UpdateUser(file string, change func(*User) error) (err error) {
	if file == "" {
		return errors.New("there is no place for your catalog: set HOME or XDG_CONFIG_HOME")
	}
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot make the place of your catalog: %w", err)
	}
	unlock, err := lock(file + ".lock")
	if err != nil {
		return err
	}
	defer unlock()
	u, err := ReadUser(file)
	if err != nil {
		return err
	}
	if err := change(u); err != nil {
		return err
	}
	text, err := yaml.Marshal(u)
	if err != nil {
		return fmt.Errorf("cannot write your catalog: %w", err)
	}
	if err := replace(file, append([]byte(userHead), text...)); err != nil {
		return fmt.Errorf("cannot write your catalog %s: %w; it is as it was", file, err)
	}
	return nil
}

// lock waits for an advisory lock on a file of its own, since the catalog itself is
// replaced (flock(2)).
func lock(file string) (unlock func(), err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock your catalog: %w", err)
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot lock your catalog %s: %w", file, err)
	}
	return func() { f.Close() }, nil
}

// replace writes a file so that a crash leaves the old content or the new one.
func replace(file string, text []byte) error {
	if at, err := filepath.EvalSymlinks(file); err == nil {
		file = at // people keep their configuration elsewhere and link to it
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".catalog-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Chmod(0o644), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}

// Find is the registered image of a reference, or of the name in its manifest when only one
// has it; nil when there is none.
func (u *User) Find(name string) *Registered {
	var byName []*Registered
	for i := range u.Images {
		r := &u.Images[i]
		if r.Reference == name {
			return r
		}
		if m, err := r.Parse(); err == nil && m.Name == name {
			byName = append(byName, r)
		}
	}
	if len(byName) == 1 {
		return byName[0]
	}
	return nil
}

// Put adds an image, in the place of one with the same reference.
func (u *User) Put(r Registered) {
	u.Images = slices.DeleteFunc(u.Images, func(old Registered) bool { return old.Reference == r.Reference })
	u.Images = append(u.Images, r)
	slices.SortFunc(u.Images, func(a, b Registered) int { return strings.Compare(a.Reference, b.Reference) })
}

// Remove takes an image out, and says whether it was there.
func (u *User) Remove(reference string) bool {
	n := len(u.Images)
	u.Images = slices.DeleteFunc(u.Images, func(r Registered) bool { return r.Reference == reference })
	return len(u.Images) < n
}
