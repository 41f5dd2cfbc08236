package main

import (
	"context"
	"os/exec"
	"strings"
	"time"
)

// listings are what the engine has, each object on a line: its name, a tab, its ID.
var listings = map[string][]string{
	"container": {"ps", "--all", "--no-trunc", "--format", "{{.Names}}\t{{.Image}} {{.ID}}"},
	"network":   {"network", "ls", "--no-trunc", "--format", "{{.Name}}\t{{.ID}}"},
	"volume":    {"volume", "ls", "--format", "{{.Name}}\t{{.Driver}}"},
	"image":     {"image", "ls", "--all", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}\t"},
}

// readEngine lists the engine's objects, where an engine answers.
func (s state) readEngine() {
	for name, args := range listings {
		ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
		out, err := exec.CommandContext(ctx, "docker", args...).Output()
		stop()
		if err != nil {
			return
		}
		for line := range strings.Lines(string(out)) {
			object, detail, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
			s[name+" "+object] = detail
		}
	}
}
