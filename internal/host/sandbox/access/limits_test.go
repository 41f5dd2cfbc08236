package access

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

var roomy = Ceiling{Memory: 16 << 30, CPUs: 8}

func manifest(capabilities ...string) *catalog.Manifest {
	return &catalog.Manifest{Capabilities: capabilities, Limits: catalog.Limits{MemoryMB: 512, CPUCores: 2, TimeoutSeconds: 300, MaxProcesses: 50}}
}

func withDisk() *catalog.Manifest {
	m := manifest()
	m.Limits.DiskMB = 100
	return m
}

func TestDecide(t *testing.T) {
	images := datadir.Limits{Memory: 512 << 20, CPUs: 2, Processes: 50, Timeout: 5 * time.Minute, OpenFiles: defaultOpenFiles, Shm: 64 << 20}
	change := func(f func(*datadir.Limits)) datadir.Limits { l := images; f(&l); return l }
	for name, tc := range map[string]struct {
		m    *catalog.Manifest
		a    Asked
		c    Ceiling
		want datadir.Limits
	}{
		"the manifest's": {m: manifest(), c: roomy, want: images},
		"no manifest":    {c: roomy, want: datadir.Limits{Memory: 1 << 30, CPUs: 1, Processes: 100, OpenFiles: defaultOpenFiles, Shm: 64 << 20}},
		"a browser": {m: manifest("browser"), a: Asked{Memory: "4g"}, c: roomy,
			want: change(func(l *datadir.Limits) { l.Memory, l.Shm = 4<<30, 1<<30 })},
		"a browser in little memory": {m: manifest("browser"), c: roomy, want: change(func(l *datadir.Limits) { l.Shm = 512 << 20 })},
		"up": {m: manifest(), a: Asked{"2g", "4", "500", "2h", "100000", "256m", "128m", "5g"}, c: roomy,
			want: datadir.Limits{Memory: 2 << 30, CPUs: 4, Processes: 500, Timeout: 2 * time.Hour, OpenFiles: 100000, Tmp: 256 << 20, Shm: 128 << 20, Disk: 5 << 30}},
		"down": {m: manifest(), a: Asked{"64M", "0.25", "5", "1", "1024", "1024k", "1mb", "32m"}, c: roomy,
			want: datadir.Limits{Memory: 64 << 20, CPUs: 0.25, Processes: 5, Timeout: time.Second, OpenFiles: 1024, Tmp: 1 << 20, Shm: 1 << 20, Disk: 32 << 20}},
		"no timeout":                                {m: manifest(), a: Asked{Timeout: "none"}, c: roomy, want: change(func(l *datadir.Limits) { l.Timeout = 0 })},
		"the image's disk":                          {m: withDisk(), c: roomy, want: change(func(l *datadir.Limits) { l.Disk = 100 << 20 })},
		"no limit on the disk":                      {m: withDisk(), a: Asked{Disk: "none"}, c: roomy, want: images},
		"the ceiling is the disk's limit":           {m: manifest(), c: Ceiling{Disk: 1 << 30}, want: change(func(l *datadir.Limits) { l.Disk = 1 << 30 })},
		"the image's disk is lowered":               {m: withDisk(), c: Ceiling{Disk: 50 << 20}, want: change(func(l *datadir.Limits) { l.Disk = 50 << 20 })},
		"a default is lowered":                      {m: manifest(), c: Ceiling{Memory: 128 << 20, CPUs: 1, Timeout: time.Minute}, want: change(func(l *datadir.Limits) { l.Memory, l.CPUs, l.Timeout = 128<<20, 1, time.Minute })},
		"no default is no way over it":              {c: Ceiling{Memory: 1 << 30, CPUs: 1, Timeout: time.Minute}, want: datadir.Limits{Memory: 1 << 30, CPUs: 1, Processes: 100, Timeout: time.Minute, OpenFiles: defaultOpenFiles, Shm: 64 << 20}},
		"a ceiling holds where there is no default": {m: manifest(), c: Ceiling{OpenFiles: 1024, Tmp: 1 << 30}, want: change(func(l *datadir.Limits) { l.OpenFiles, l.Tmp = 1024, 1<<30 })},
		"what is asked up to the ceiling":           {m: manifest(), a: Asked{CPUs: "1"}, c: Ceiling{CPUs: 1}, want: change(func(l *datadir.Limits) { l.CPUs = 1 })},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := Decide(tc.m, tc.a, tc.c); err != nil || got != tc.want {
				t.Errorf("got  %+v, %v\nwant %+v", got, err, tc.want)
			}
		})
	}
}

func TestMistakesInLimitsAreSaidTogether(t *testing.T) {
	for _, tc := range []struct {
		a    Asked
		c    Ceiling
		want []string
	}{
		{Asked{"512", "many", "few", "soon", "1e3", "-1m", "9999999999g", "much"}, roomy, []string{
			`--memory is "512"; it must be a whole number with its unit`, `--cpus is "many"`, `--processes is "few"`,
			`--timeout is "soon"; it must be seconds (600), a duration (10m) or none`, `--open-files is "1e3"`, `--tmp-size is "-1m"`, `--shm-size is "9999999999g"`, `--disk is "much"`}},
		{Asked{Memory: "1m", CPUs: "0", Processes: "0", Timeout: "0s", OpenFiles: "3", Tmp: "1k", Shm: "0m", Disk: "1m"}, roomy, []string{
			"--memory is 1m; it must be at least 64m", "--cpus is 0; it must be at least 0.01", "--processes is 0; it must be at least 1",
			"--timeout is 0s; it must be at least 1s", "--open-files is 3; it must be at least 1024", "--tmp-size is 1k; it must be at least 1m", "--shm-size is 0m", "--disk is 1m; it must be at least 32m"}},
		{Asked{Disk: "2g"}, Ceiling{Disk: 1 << 30}, []string{"--disk is 2g; this machine's ceiling is 1g"}},
		{Asked{Memory: "2g", CPUs: "NaN", Timeout: "none", Disk: "none"}, Ceiling{Memory: 1 << 30, Timeout: time.Hour, Disk: 1 << 30}, []string{
			"--disk is none; this machine's ceiling is 1g",
			"--memory is 2g; this machine's ceiling is 1g", `--cpus is "NaN"`, "--timeout is none; this machine's ceiling is 1h0m0s", "limits.yaml"}},
	} {
		_, err := Decide(manifest(), tc.a, tc.c)
		for _, want := range tc.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: %v does not say %s", tc.a, err, want)
			}
		}
	}
}

func TestCeiling(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	path := filepath.Join(dir, "matrx-sandbox", "limits.yaml")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	machine := Ceiling{Memory: 8 << 30, CPUs: 4}
	if c, err := ReadCeiling(8<<30, 4); err != nil || c != machine {
		t.Errorf("without a file: %+v, %v", c, err)
	}
	for content, want := range map[string]Ceiling{
		"":                    machine,
		"ceiling: {cpus: 64}": machine, // more than there is
		"ceiling: {memory: 2g, cpus: 1.5, processes: 100, timeout: 1h, open_files: 1024, tmp: 1g, shm: 512m, disk: 20g}": {
			Memory: 2 << 30, CPUs: 1.5, Processes: 100, Timeout: time.Hour, OpenFiles: 1024, Tmp: 1 << 30, Shm: 512 << 20, Disk: 20 << 30},
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if c, err := ReadCeiling(8<<30, 4); err != nil || c != want {
			t.Errorf("%q: %+v, %v", content, c, err)
		}
	}
	// A ceiling that cannot be read is an error, never no ceiling.
	for _, content := range []string{"ceiling: {memory: 2}", "ceiling: {memmory: 2g}", "ceiling: {cpus: 0}", "ceiling: [", "timeout: 1h"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadCeiling(8<<30, 4); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v", content, err)
		}
	}
}

func TestTmpInMemory(t *testing.T) {
	for _, tc := range []struct{ memory, ceiling, want int64 }{{1 << 30, 0, 1 << 29}, {1 << 30, 1 << 20, 1 << 20}, {1 << 20, 1 << 30, 1 << 19}} {
		if got := TmpInMemory(datadir.Limits{Memory: tc.memory}, Ceiling{Tmp: tc.ceiling}); got != tc.want {
			t.Errorf("%+v: %d", tc, got)
		}
	}
}
