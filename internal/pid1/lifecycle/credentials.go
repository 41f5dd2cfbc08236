package lifecycle

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/wire"
)

// mostCredentials bounds S3_CREDENTIALS_FILE in bytes: it travels in one packet.
const mostCredentials = 48 << 10

// readCredentials reads what this process was given. It is read anew for each storage
// process, so that a file that was rotated counts.
func readCredentials(cfg *config.Config, environ []string) (wire.Credentials, error) {
	var c wire.Credentials
	if path := cfg.S3.CredentialsFile; path != "" {
		body, err := readBounded(path, mostCredentials)
		if err != nil {
			return c, fmt.Errorf("cannot read the credentials: %w; check %s", err, contract.EnvS3CredentialsFile)
		}
		c.File = body // it comes before the keys of the environment, which also names the profile and the region
	}
	for _, kv := range environ {
		if name, value, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "AWS_") {
			if c.Env == nil {
				c.Env = map[string]string{}
			}
			c.Env[name] = value
		}
	}
	return c, nil
}

func readBounded(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	body, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(body)) > most {
		err = fmt.Errorf("%s is larger than %d bytes", path, most)
	}
	return body, err
}
