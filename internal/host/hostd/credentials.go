package hostd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/host/hostd/gateway"
)

// Credentials sign for a sandbox at its store. They are those that the operator gave by
// environment variables, and they are never on a disk: a daemon has them in its memory, and
// its guard in a file without a name in memory (memfd_create(2)), from which the daemon that
// follows a killed one gets them. When both were killed, the sandbox's storage answers that it
// waits, and the next program of the operator's that has them hands them over.
type Credentials struct {
	AccessKey    string `json:"access_key"`
	SecretKey    string `json:"secret_key"`
	SessionToken string `json:"session_token,omitempty"`
}

// EnvironmentCredentials are those of this program's environment; false when it has none.
func EnvironmentCredentials() (Credentials, bool) {
	c := Credentials{os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"), os.Getenv("AWS_SESSION_TOKEN")}
	return c, c.AccessKey != "" && c.SecretKey != ""
}

// vault has the credentials of sandboxes, by ID.
type vault struct {
	mu    sync.Mutex
	known map[string]Credentials
	file  *os.File // lines of vaultEntry: the last one of a sandbox counts
}

type vaultEntry struct {
	SandboxID string `json:"sandbox_id"`
	Credentials
}

const vaultName = "sandbox-credentials"

func newVault() (*vault, error) {
	fd, err := unix.MemfdCreate(vaultName, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot make a file in memory for credentials: %w", err)
	}
	return &vault{known: make(map[string]Credentials), file: os.NewFile(uintptr(fd), vaultName)}, nil
}

// readVault reads a vault whose daemon was killed, perhaps in the middle of a line.
func readVault(f *os.File) (map[string]Credentials, error) {
	// A descriptor of this number is the vault only if it is a file in memory of that name.
	name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil || !strings.HasPrefix(name, "/memfd:"+vaultName) {
		return nil, fmt.Errorf("the credentials are not in %q; a guard is started by its daemon", name)
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd())) // from its beginning, wherever its writer is
	if err != nil {
		return nil, err
	}
	known := make(map[string]Credentials)
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		var e vaultEntry
		if json.Unmarshal(s.Bytes(), &e) != nil {
			continue
		}
		if known[e.SandboxID] = e.Credentials; e.AccessKey == "" {
			delete(known, e.SandboxID)
		}
	}
	return known, nil
}

func (v *vault) put(id string, c Credentials) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.known[id] = c
	return v.write(vaultEntry{id, c})
}

// forget drops those of a sandbox that has ended.
func (v *vault) forget(id string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, ok := v.known[id]; !ok {
		return nil
	}
	delete(v.known, id)
	if len(v.known) == 0 {
		if err := v.file.Truncate(0); err != nil {
			return fmt.Errorf("cannot forget credentials: %w", err)
		}
		_, err := v.file.Seek(0, 0)
		return err
	}
	return v.write(vaultEntry{SandboxID: id})
}

func (v *vault) write(e vaultEntry) error {
	line, err := json.Marshal(e)
	if err == nil {
		_, err = v.file.Write(append(line, '\n'))
	}
	if err != nil {
		return fmt.Errorf("cannot keep the credentials of the sandbox %s in memory: %w", e.SandboxID, err)
	}
	return nil
}

func (v *vault) has(id string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, ok := v.known[id]
	return ok
}

func (v *vault) all() map[string]Credentials {
	v.mu.Lock()
	defer v.mu.Unlock()
	return maps.Clone(v.known)
}

// provider gives the credentials of one sandbox as they are at each request.
type provider struct {
	vault     *vault
	id        string
	accessKey string
}

var _ aws.CredentialsProvider = provider{}

func (p provider) Retrieve(context.Context) (aws.Credentials, error) {
	p.vault.mu.Lock()
	defer p.vault.mu.Unlock()
	c, ok := p.vault.known[p.id]
	if !ok {
		return aws.Credentials{}, fmt.Errorf("%w: those of the sandbox %s were in the memory of a daemon that was killed; set AWS_ACCESS_KEY_ID=%s with its secret key and run `sandbox ps`",
			gateway.ErrCredentialsAwaited, p.id, p.accessKey)
	}
	return aws.Credentials{AccessKeyID: c.AccessKey, SecretAccessKey: c.SecretKey, SessionToken: c.SessionToken}, nil
}

// handOver gives a daemon the credentials that its predecessor had.
func handOver(ctx context.Context, c *Client, known map[string]Credentials, log *slog.Logger) {
	for id, own := range known {
		if err := c.Authorize(ctx, id, own); err != nil {
			log.Error("a sandbox is without its credentials", "event", "credentials_lost", "sandbox_id", id, "error", err.Error())
			continue
		}
		log.Info("the new daemon has the credentials of a sandbox", "event", "credentials_handed_over", "sandbox_id", id)
	}
}
