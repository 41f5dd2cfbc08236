//go:build long

package hot

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/testbed"
	"github.com/matrx/sandbox/internal/wire"
)

// mostRSS is what the storage process may have resident, with any tree.
const mostRSS = 150 << 10 // KiB

// A tree of 200,000 files, and one of a file of 6 GiB, go up and come back; each way in a process
// of its own, whose largest resident set counts.
func TestMemoryIsBounded(t *testing.T) {
	for name, build := range map[string]func(home string){
		"200,000 files": func(home string) {
			for i := range 200_000 {
				path := filepath.Join(home, fmt.Sprintf("project%02d/package%03d/module-%d.txt", i%20, i/20%200, i))
				if i < 4000 {
					check(t, os.MkdirAll(filepath.Dir(path), 0o755))
				}
				check(t, os.WriteFile(path, []byte(fmt.Sprint("content of ", i)), 0o644))
			}
		},
		"6 GiB": func(home string) {
			f, err := os.Create(filepath.Join(home, "large"))
			check(t, err)
			for i := range int64(12) { // sparse, with islands
				_, err := f.WriteAt([]byte(strings.Repeat(fmt.Sprint("island ", i), 10_000)), i<<29)
				check(t, err)
			}
			check(t, f.Truncate(6<<30))
			check(t, f.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t)
			s.cfg.S3 = s.bucket.Config() // the proxy keeps a record of each request
			build(s.home)
			up := memoryChild(t, s)
			restored := sandboxAt(t, s.bucket, s.proxy)
			restored.cfg.S3 = s.cfg.S3
			down := memoryChild(t, restored)
			t.Logf("%d MB RSS up, %d MB down", up>>10, down>>10)
			if max(up, down) > mostRSS {
				t.Errorf("%d MB RSS up, %d MB down; at most %d", up>>10, down>>10, mostRSS>>10)
			}
			sameTree(t, s.home, restored.home)
		})
	}
}

func sameTree(t *testing.T, a, b string) {
	t.Helper()
	if out, err := exec.Command("diff", "-r", "--no-dereference", a, b).CombinedOutput(); err != nil {
		t.Errorf("what came back differs: %v\n%.500s", err, out)
	}
}

// memoryJob is what a child is to do: hydrate, run, and flush.
type memoryJob struct {
	Config      config.Config
	Credentials wire.Credentials
}

func memoryChild(t *testing.T, s *sandbox) (rss int64) {
	t.Helper()
	job, err := json.Marshal(memoryJob{s.cfg, s.bucket.Credentials()})
	check(t, err)
	cmd := exec.Command(os.Args[0], "-test.run", "^TestMemoryChild$", "-test.timeout", "30m")
	cmd.Env = append(os.Environ(), "HOT_MEMORY_CHILD="+string(job))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%.3000s", err, out)
	}
	for lines := bufio.NewScanner(strings.NewReader(string(out))); lines.Scan(); {
		if n, err := fmt.Sscanf(lines.Text(), "RSS %d", &rss); n == 1 && err == nil {
			return rss
		}
	}
	t.Fatalf("the child says nothing of its memory: %.3000s", out)
	return 0
}

// TestMemoryChild is the process that TestMemoryIsBounded measures; by itself it does nothing.
func TestMemoryChild(t *testing.T) {
	env := os.Getenv("HOT_MEMORY_CHILD")
	if env == "" {
		return
	}
	var job memoryJob
	check(t, json.Unmarshal([]byte(env), &job))
	debug.SetMemoryLimit(120 << 20) // as storage does (internal/storage/limits.go)
	srv := &testbed.Bucket{Server: &testbed.Server{AccessKey: job.Credentials.Env["AWS_ACCESS_KEY_ID"], SecretKey: job.Credentials.Env["AWS_SECRET_ACCESS_KEY"]}}
	s := &sandbox{t: t, cfg: job.Config, home: job.Config.HotPath, bucket: srv, patient: 25 * time.Minute}
	s.cfg.HydrateTimeout = 25 * time.Minute
	s.start()
	s.flushed()
	status, err := os.ReadFile("/proc/self/status")
	check(t, err)
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	var kib int64
	_, err = fmt.Sscan(after, &kib)
	check(t, err)
	fmt.Printf("\nRSS %d\n", kib)
}

// 50,000 files made at once while it runs: all of them arrive.
func TestManyFilesArrive(t *testing.T) {
	s := newSandbox(t)
	s.cfg.S3, s.patient = s.bucket.Config(), 10*time.Minute
	s.start()
	s.saved()
	const dirs, files = 500, 100
	for d := range dirs {
		for f := range files {
			s.write(fmt.Sprintf("d%d/f%d", d, f), fmt.Sprint(d, f))
		}
	}
	s.saved()
	if n := len(s.keys()); n != dirs*files {
		t.Errorf("%d of %d have arrived", n, dirs*files)
	}
	s.flushed()
}

// S3 is away for two minutes while the workload works: all of it arrives.
func TestAwayForTwoMinutes(t *testing.T) {
	s := newSandbox(t).start()
	s.write("a", "one")
	s.saved()
	s.proxy.Away()
	until := time.After(2 * time.Minute)
	n := 0
	for away := true; away; n++ {
		select {
		case <-until:
			away = false
		case <-time.After(20 * time.Millisecond):
		}
		s.write(fmt.Sprintf("d%d/f%d", n%10, n), fmt.Sprint(n))
		if n%3 == 0 {
			s.remove(fmt.Sprintf("d%d/f%d", n%10, n))
		}
	}
	if st := s.e.Status(); st.State != "failed" || st.Staleness < time.Minute {
		t.Errorf("status says %s, %v behind", st.State, st.Staleness)
	}
	s.proxy.Back()
	s.saved()
	testbed.WantTree(t, testbed.Scan(t, s.home), restored(t, s), testbed.Ignore{Owner: true, DirMtime: true})
}
