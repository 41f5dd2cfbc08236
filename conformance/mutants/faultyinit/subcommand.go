package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
)

// lies are what a fault makes of the real one's answers, by subcommand.
var lies = map[string]map[string]func(out []byte, code int) ([]byte, int){
	"healthcheck": {"always-healthy": func([]byte, int) ([]byte, int) { return []byte("ready\n"), 0 }},
	"status": {
		"status-lies": replacing(`"storage": "none"`, `"storage": "s3"`, `"storage":"none"`, `"storage":"s3"`),
		"cold-lies":   replacing(`"cold": "unavailable"`, `"cold": "mounted"`, `"cold":"unavailable"`, `"cold":"mounted"`),
	},
}

func replacing(pairs ...string) func([]byte, int) ([]byte, int) {
	return func(out []byte, code int) ([]byte, int) {
		for i := 0; i < len(pairs); i += 2 {
			out = bytes.ReplaceAll(out, []byte(pairs[i]), []byte(pairs[i+1]))
		}
		return out, code
	}
}

// subcommand answers as the real one does, or lies about it.
func subcommand(fault string) {
	lie, ok := lies[os.Args[1]][fault]
	if !ok {
		become()
	}
	cmd := exec.Command(realInit, os.Args[1:]...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		fatal(err)
	}
	out, code := lie(out, cmd.ProcessState.ExitCode())
	if _, err := os.Stdout.Write(out); err != nil {
		fatal(err)
	}
	os.Exit(code)
}
