package access

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.yaml.in/yaml/v4"
)

// Ceiling is what no sandbox of this operator gets over; zero is none.
type Ceiling struct {
	Memory    int64
	CPUs      float64
	Processes int64
	Timeout   time.Duration
	OpenFiles int64
	Tmp       int64
	Shm       int64
	Disk      int64
	Store     int64 // of a user in the embedded S3
}

// ceilingName is the file of the ceiling, as people are told of it.
const ceilingName = "~/.config/matrx-sandbox/limits.yaml"

// ReadCeiling reads $XDG_CONFIG_HOME/matrx-sandbox/limits.yaml. The file need not be
// there, nor a field of it: then the machine itself is the ceiling, as far as it has one.
//
//	ceiling:
//	  memory: 8g
//	  cpus: 4
//	  processes: 1000
//	  timeout: 2h
//	  open_files: 65536
//	  tmp: 2g
//	  shm: 2g
//	  disk: 20g
//	  store: 64g
func ReadCeiling(machineMemory int64, machineCPUs int) (Ceiling, error) {
	c := Ceiling{Memory: machineMemory, CPUs: float64(machineCPUs)}
	dir, _ := os.UserConfigDir()
	if dir == "" {
		return c, nil // without a home there is no file in it
	}
	path := filepath.Join(dir, "matrx-sandbox", "limits.yaml")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		err = c.lower(b)
	}
	if err != nil {
		// One that cannot be read is no reason to do without.
		return c, fmt.Errorf("cannot read the ceiling of all limits in %s: %w", path, err)
	}
	return c, nil
}

// lower takes the file's content, where it is less than what is there.
func (c *Ceiling) lower(content []byte) error {
	var file struct {
		Ceiling struct {
			Memory    string `yaml:"memory"`
			CPUs      string `yaml:"cpus"`
			Processes string `yaml:"processes"`
			Timeout   string `yaml:"timeout"`
			OpenFiles string `yaml:"open_files"`
			Tmp       string `yaml:"tmp"`
			Shm       string `yaml:"shm"`
			Disk      string `yaml:"disk"`
			Store     string `yaml:"store"`
		} `yaml:"ceiling"`
	}
	d := yaml.NewDecoder(bytes.NewReader(content))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	f := file.Ceiling
	timeout := int64(c.Timeout)
	err := errors.Join(
		lower(&c.Memory, "memory", f.Memory, parseSize),
		lower(&c.CPUs, "cpus", f.CPUs, parseCores),
		lower(&c.Processes, "processes", f.Processes, parseNumber),
		lower(&timeout, "timeout", f.Timeout, parseTimeout),
		lower(&c.OpenFiles, "open_files", f.OpenFiles, parseNumber),
		lower(&c.Tmp, "tmp", f.Tmp, parseSize),
		lower(&c.Shm, "shm", f.Shm, parseSize),
		lower(&c.Disk, "disk", f.Disk, parseSize),
		lower(&c.Store, "store", f.Store, parseSize),
	)
	c.Timeout = time.Duration(timeout)
	return err
}

func lower[T int64 | float64](to *T, name, text string, parse func(string) (T, error)) error {
	if text == "" {
		return nil
	}
	v, err := parse(text)
	if err != nil {
		return fmt.Errorf("ceiling.%s is %q; it must be %w", name, text, err)
	}
	if v <= 0 {
		return fmt.Errorf("ceiling.%s is %q; it must be more than 0", name, text)
	}
	if *to == 0 || v < *to {
		*to = v
	}
	return nil
}
