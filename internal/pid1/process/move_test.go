package process

import (
	"bufio"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

func TestHostIsAskedToMoveAProcess(t *testing.T) {
	for name, tc := range map[string]struct {
		answers []string // to one client after the other
		says    string
	}{
		"it has":                           {[]string{"moved\n"}, ""},
		"it has not":                       {[]string{"it cannot\n"}, "it cannot"},
		"it is killed before its word":     {[]string{"", "moved\n"}, ""},
		"it is killed within its word":     {[]string{"mov", "", "moved\n"}, ""},
		"another has its place and cannot": {[]string{"", "it cannot\n"}, "it cannot"},
	} {
		t.Run(name, func(t *testing.T) {
			socket := filepath.Join(t.TempDir(), "s")
			l, err := net.Listen("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			asked := make(chan string, len(tc.answers))
			go func() {
				defer close(asked)
				for _, answer := range tc.answers {
					c, err := l.Accept()
					if err != nil {
						return
					}
					line, _ := bufio.NewReader(c).ReadString('\n')
					asked <- line
					_, _ = c.Write([]byte(answer))
					c.Close()
				}
			}()
			err = Move(socket, 4711)
			if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("it says %v", err)
			}
			l.Close()
			times := 0
			for line := range asked {
				if times++; line != "4711\n" {
					t.Errorf("it asks %q", line)
				}
			}
			if times != len(tc.answers) {
				t.Errorf("it asks %d times, want %d", times, len(tc.answers))
			}
		})
	}
}

// TestMoveWithoutAHostEnds: it says what was waited for.
func TestMoveWithoutAHostEnds(t *testing.T) {
	dir := t.TempDir()
	silent, err := net.Listen("unix", filepath.Join(dir, "silent"))
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for name, says := range map[string]string{"none": "no such file", "silent": "not answered"} {
		if err := Move(filepath.Join(dir, name), 1); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: it says %v", name, err)
		}
	}
}
