package access

import (
	"strings"
	"testing"

	"github.com/matrx/sandbox/internal/e2e/harness"
)

// Runtimes, GPUs and devices are asked of the engine, whose answer is passed on.
func TestRuntimesAndDevicesAreAskedOfTheEngine(t *testing.T) {
	o := harness.NewOperator(t)
	for _, tc := range []struct {
		flags []string
		want  string
	}{
		{[]string{"--oci-runtime", "no-such-runtime"}, "no-such-runtime"},
		{[]string{"--oci-runtime", "runsc-no-such"}, "gVisor cannot serve the mount"},
		{[]string{"--gpus", "all"}, "gpu"}, // no machine that runs the tests has one
		{[]string{"--device", "/dev/no-such-device"}, "/dev/no-such-device"},
		{[]string{"--device", "vendor.example/class=name"}, `driver "cdi"`}, // this engine has none
	} {
		r := o.Run(nil, "u", append(tc.flags, "--", "true")...)
		if r.Code == 0 || !strings.Contains(r.Stderr, tc.want) {
			t.Errorf("%q: %v", tc.flags, r)
		}
	}
	if l := o.List("-a"); len(l) != 0 {
		t.Errorf("left %v", l)
	}
	r := o.InBase("u", "-q", "--oci-runtime", "runc", "--device", "/dev/zero:/dev/nothing:r", "--", "sh", "-c", "head -c 3 /dev/nothing | od -An -tx1")
	if r.Code != 0 || r.Stdout != " 00 00 00\n" {
		t.Errorf("a device under another name: %v", r)
	}
}
