package engine

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
)

// A helper is a container that a program makes for a moment and removes: to read a file of an image,
// to empty a directory as root. Its label names the process that made it, so that those of killed programs
// are known for what they are.

// HelperLabel is the label of helpers.
const HelperLabel = contract.LabelPrefix + "helper-of"

func helperLabels() map[string]string {
	return map[string]string{HelperLabel: strconv.Itoa(os.Getpid()) + "." + pidNamespace()}
}

// pidNamespace names the namespace in which this process has its PID.
func pidNamespace() string {
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &st); err != nil {
		return "unknown"
	}
	return fmt.Sprint(st.Ino)
}

// Abandoned says that a container is a helper whose process has ended.
func (c Container) Abandoned() bool {
	pid, namespace, ok := strings.Cut(c.Labels[HelperLabel], ".")
	n, err := strconv.Atoi(pid)
	return ok && err == nil && n > 0 && namespace == pidNamespace() && unix.Kill(n, 0) == unix.ESRCH
}
