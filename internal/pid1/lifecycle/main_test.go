package lifecycle

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/pid1/privilege"
	"github.com/matrx/sandbox/internal/pid1/process"
)

// An init takes a process over. The tests therefore start the test binary again as
// init, which starts it again as the storage process, a fake that follows a plan.
const (
	initVariable  = "LIFECYCLE_TEST_INIT"  // 1: be init
	hooksVariable = "LIFECYCLE_TEST_HOOKS" // Options.HooksDir
	planVariable  = "LIFECYCLE_TEST_PLAN"  // what each storage process does, see fakestorage_test.go
	dirVariable   = "LIFECYCLE_TEST_DIR"   // where the fake storage process keeps its things

	privateVariable = "LIFECYCLE_TEST_PRIVATE" // 1: the mount namespace is private already

	fakeStorageRole = "fake-storage"
	fakeExecdRole   = "fake-execd"
)

func TestMain(m *testing.M) {
	switch {
	case len(os.Args) > 1 && os.Args[1] == process.LaunchRole:
		os.Exit(process.Launch(os.Args[2:]))
	case len(os.Args) > 1 && os.Args[1] == fakeStorageRole:
		os.Exit(playStorage(os.Args[2], os.Args[3]))
	case len(os.Args) > 1 && os.Args[1] == fakeExecdRole:
		os.Exit(playExecd(os.Args[2]))
	case os.Getenv(initVariable) != "":
		os.Exit(beInit())
	}
	if os.Geteuid() != 0 {
		fmt.Println("these tests must be run as root: they become other users and mount")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// beInit is Main with the parts that a test replaces.
func beInit() int {
	signals, err := process.CatchSignals()
	if err == nil && os.Getenv(privateVariable) == "" {
		// Mounts of a test stay in its own namespace.
		err = unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	}
	mode, modeErr := privilege.Detect()
	cfg, configErr := config.Load(os.Environ(), "/nonexistent")
	if err = join(err, modeErr, configErr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return contract.ExitConfig
	}
	var environ []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "LIFECYCLE_TEST_") {
			environ = append(environ, kv)
		}
	}
	return mainWith(Options{
		Command:     os.Args[1:],
		Config:      cfg,
		Mode:        mode,
		Environ:     environ,
		Version:     "test",
		HooksDir:    os.Getenv(hooksVariable),
		ExecdArgv:   []string{"sandbox-init", fakeExecdRole, os.Getenv(dirVariable)},
		StorageArgv: []string{"sandbox-init", fakeStorageRole, os.Getenv(dirVariable), os.Getenv(planVariable)},
	}, signals)
}
