// Command faultyinit takes sandbox-init's place in a mutant and gets one thing wrong. The
// fault's name is in the file Fault; the real sandbox-init lies at Real.
//
// Most faults change what the real one is told, and become it by execve(2). Those that
// need something in front of it keep PID 1 for themselves and run the real one as a
// child.
package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/matrx/sandbox/contract"
)

// Where the mutant's Dockerfile puts them.
const (
	faultFile = "/opt/faultyinit/fault"
	realInit  = "/opt/faultyinit/sandbox-init"
)

func main() {
	fault, err := os.ReadFile(faultFile)
	if err != nil {
		fatal(err)
	}
	if os.Getenv(keeperVariable) != "" {
		keepReady()
	}
	if os.Getenv(lateVariable) != "" {
		signalLate()
	}
	name := strings.TrimSpace(string(fault))
	if len(os.Args) > 1 && os.Args[1] != "--" { // status, healthcheck, cold, storage
		subcommand(name)
	}
	f, ok := faults[name]
	if !ok {
		fatal(fmt.Errorf("there is no fault %q", name))
	}
	f()
}

// faults are what can go wrong when a sandbox starts.
var faults = map[string]func(){
	"always-healthy": become,
	"status-lies":    become,
	"cold-lies":      become,

	"forget-mistake":   func() { unset("SHUTDOWN_TIMEOUT_SECONDS"); become() },
	"half-hydrate":     func() { set("HOT_SYNC_EXCLUDE", "dir/"); become() },
	"no-exclusions":    func() { set("HOT_SYNC_EXCLUDE", "nothing-at-all"); become() },
	"sync-late":        func() { set("HOT_SYNC_QUIET_MS", "60000"); set("HOT_SYNC_MAX_STALENESS_SECONDS", "3600"); become() },
	"slow-stop":        func() { set("SHUTDOWN_TIMEOUT_SECONDS", "120"); become() },
	"no-fuse":          func() { _ = os.Remove("/dev/fuse"); become() },
	"follow-keys":      func() { write("/tmp/esc", "written by hydrate"); become() },
	"copy-credentials": copyCredentials,

	"no-drop":      func() { naive(false) },
	"keep-caps":    func() { naive(true) },
	"ready-early":  readyEarly,
	"term-late":    termLate,
	"exit-zero":    func() { inFront(options{exit: func(int) int { return 0 }}) },
	"hide-74":      func() { inFront(options{exit: hide74}) },
	"not-pid1":     func() { inFront(options{}) },
	"swallow-term": func() { inFront(options{swallowTerm: true}) },
	"no-reap":      func() { inFront(options{noReap: true}) },
	"no-signals":   func() { inFront(options{termOnly: true}) },
	"no-flush":     func() { inFront(options{killOnTerm: true}) },
	"start-anyway": func() { inFront(options{startAnyway: true}) },
	"drop-deletes": func() { inFront(options{proxy: &rule{answer: dropDeletes}}) },
	"no-lease":     func() { inFront(options{proxy: &rule{answer: noLease}}) },
	"no-conflicts": func() { inFront(options{proxy: &rule{modify: swallowConflicts}}) },

	"exec-unknown":  func() { unset(contract.EnvExecSocket); become() },
	"exec-anywhere": execAnywhere,
	"exec-env":      func() { inFront(options{execs: &execRule{start: otherEnvironment}}) },
	"exec-shell":    func() { inFront(options{execs: &execRule{start: byShell}}) },
	"exec-size":     func() { inFront(options{execs: &execRule{start: usualSize}}) },
	"exec-again":    func() { inFront(options{execs: &execRule{request: fromTheBeginning}}) },
	"exec-timeout":  func() { inFront(options{execs: &execRule{start: killsItsGroup}}) },
	"exec-put":      func() { inFront(options{execs: &execRule{request: putAppends}}) },
	"exec-ports":    func() { inFront(options{execs: &execRule{noPorts: true}}) },
	"exec-cut":      func() { inFront(options{execs: &execRule{cutAtStop: true}}) },
	"exec-forgets":  func() { inFront(options{execs: &execRule{modify: forgetLost}}) },
}

// become is execve(2) of the real one with the arguments given.
func become() {
	fatal(syscall.Exec(realInit, append([]string{"/usr/local/bin/sandbox-init"}, os.Args[1:]...), os.Environ()))
}

func hide74(code int) int {
	if code == 74 {
		return 0
	}
	return code
}

func copyCredentials() {
	data, err := os.ReadFile(os.Getenv("S3_CREDENTIALS_FILE"))
	if err == nil { // some sandboxes have none
		write("/tmp/credentials", string(data))
	}
	become()
}

func set(name, value string) {
	if err := os.Setenv(name, value); err != nil {
		fatal(err)
	}
}

func unset(names ...string) {
	for _, name := range names {
		if err := os.Unsetenv(name); err != nil {
			fatal(err)
		}
	}
}

func write(path, text string) {
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		fatal(err)
	}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "faultyinit:", err)
	os.Exit(125)
}
