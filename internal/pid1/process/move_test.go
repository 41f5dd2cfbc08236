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
		answer string
		says   string
	}{
		"it has":                  {"moved\n", ""},
		"it has not":              {"it cannot\n", "it cannot"},
		"it ends without a word":  {"", `""`},
		"it ends within its word": {"move", `"move"`},
	} {
		t.Run(name, func(t *testing.T) {
			socket := filepath.Join(t.TempDir(), "s")
			l, err := net.Listen("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			asked := make(chan string, 1)
			go func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				line, _ := bufio.NewReader(c).ReadString('\n')
				asked <- line
				_, _ = c.Write([]byte(tc.answer))
			}()
			err = Move(socket, 4711)
			if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("it says %v", err)
			}
			if line := <-asked; line != "4711\n" {
				t.Errorf("it asks %q", line)
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
