package probe

import (
	"fmt"
	"os"
	"strings"
)

// Main runs one command and returns the exit code: 0, 1 for "no", 2 for a wrong call.
func Main(args []string) int {
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "probe: which command?")
		return 2
	}
	if args[0] == "hook" && len(args) > 1 {
		// "#!PROBE hook a,b" is followed by the script's own path, which is not needed.
		return Main(strings.Split(args[1], ","))
	}
	run, ok := commands[args[0]]
	if !ok {
		fmt.Fprintf(os.Stderr, "probe: there is no command %q\n", args[0])
		return 2
	}
	code, err := run(args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		return max(code, 1)
	}
	return code
}

// command returns an exit code; an error makes it at least 1.
type command func(args []string) (int, error)

var commands map[string]command

func init() {
	commands = map[string]command{
		"idle": idle, "exit": exit, "kill-self": killSelf, "say": say, "self": self, "wait": wait, "exists": exists,
		"describe": describe, "read": read, "write": write, "write-many": writeMany, "rename": rename, "remove": remove,
		"remove-all": removeAll, "mkdir": mkdir, "touch": touch, "owner": owner, "swap": swap,
		"on-term": onTerm, "ignore-term": ignoreTerm, "cleanup": cleanup, "linger": linger, "on-stop": onStop, "signals": signals,
		"orphans": orphans, "zombies": zombies, "search": search, "exe": exe, "newest": newest,
		"lines": lines, "cat": cat, "terminal": terminal, "scatter": scatter, "stay": stay, "echo": echo, "kill": kill,
	}
}

// first is the first argument, or an error that names what is missing.
func first(args []string, what string) (string, error) {
	if len(args) == 0 {
		return "", fmt.Errorf("%s is missing", what)
	}
	return args[0], nil
}
