package harness

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/matrx/sandbox/internal/testbed"
)

// FakeinitImage has internal/e2e/fakeinit in the place of sandbox-init, and nothing else.
var FakeinitImage = Ref("fakeinit")

// MakeFakeinit makes that image, once a package; Main removes it.
func MakeFakeinit(t *testing.T) {
	t.Helper()
	path := testbed.Binary(t, "internal/e2e/fakeinit")
	if err := makeFakeinit(path); err != nil {
		t.Fatal(err)
	}
}

var fakeinit struct {
	sync.Mutex
	made bool
}

func makeFakeinit(path string) error {
	fakeinit.Lock()
	defer fakeinit.Unlock()
	if fakeinit.made {
		return nil
	}
	program, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var rootfs bytes.Buffer
	w := tar.NewWriter(&rootfs)
	for _, dir := range []string{"home/", "home/agent/", "var/", "var/lib/", "var/lib/sandbox/", "run/", "tmp/", "usr/", "usr/bin/"} {
		w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755})
	}
	w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "usr/bin/find", Linkname: "/fakeinit"})
	w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "fakeinit", Mode: 0o755, Size: int64(len(program))})
	w.Write(program)
	if err := w.Close(); err != nil {
		return err
	}
	cmd := exec.Command("docker", "import", "--change", `ENTRYPOINT ["/fakeinit","--"]`, "-", FakeinitImage)
	cmd.Stdin = &rootfs
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot make the image %s: %w\n%s", FakeinitImage, err, out)
	}
	fakeinit.made = true
	return nil
}

// removeFakeinit removes the image if this process has made it: each run leaves the engine as it was.
func removeFakeinit() error {
	if !fakeinit.made {
		return nil
	}
	if out, err := exec.Command("docker", "image", "rm", FakeinitImage).CombinedOutput(); err != nil {
		return fmt.Errorf("cannot remove the image %s: %w\n%s", FakeinitImage, err, out)
	}
	return nil
}
