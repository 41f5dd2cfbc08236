// Package s3server is the embedded S3: what `sandbox s3` and `sandbox run` serve
// when no S3 of one's own is named. It is versitygw's gateway over its posix
// backend, in this process: a bucket is a directory below Options.Data, an object
// is a file with its metadata in extended attributes.
//
// What it keeps:
//
//   - Conditional writes (If-Match, If-None-Match) on PUT, DELETE and
//     CompleteMultipartUpload, and conditions on the source of a COPY; a condition on
//     its destination is ignored. Checksums are checked.
//   - An object appears whole or not at all, so what was acknowledged survives a
//     SIGKILL of the server. It is not synced to the disk object by object: a power
//     cut may cost the last seconds. It is for development and tests, and for
//     sandboxes on one machine; it is not a replicated store.
//
// What to know of it:
//
//   - One server a process: the gateway keeps package-level state, and its posix
//     backend changes the working directory of the process to Options.Data.
//   - One server a data directory, held by a flock on the directory itself.
//   - Keys are files: "a" and "a/b" cannot both be, and a "dir/" marker has no body.
//   - A guard refuses keys with a segment "." or "..", keys of the backend's own files
//     (.sgwtmp), parameters that have no grammar in package s3grammar, uploads by a form,
//     and the server's administration: what the backend joins to a path stays below it.
//   - Zeros are stored as holes, so that an object takes no more room than its file.
//   - All request headers together are bounded by 8 KiB, as in S3 itself.
package s3server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/matrx/sandbox/internal/unixhttp"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
	"github.com/versity/versitygw/s3api"
)

// defaultRegion is the region that the server says it is in.
const defaultRegion = "us-east-1"

// maxRequests bounds concurrent connections and requests. A sandbox opens at most
// a few hundred; the bound keeps a runaway client from exhausting descriptors.
const maxRequests = 4096

// maxCopy is S3's limit for the source of a copy.
const maxCopy = 5 << 30

// Options say what to serve and where.
type Options struct {
	// Data is the directory of the buckets. It is made when it does not exist.
	Data string

	// Listen has one or more addresses: HOST:PORT (port 0: any free one) or
	// unix://PATH. A stale socket at PATH is replaced.
	Listen []string

	// AccessKey and SecretKey are the only account. Both empty: random ones.
	AccessKey, SecretKey string

	// Region is defaultRegion when empty.
	Region string

	// Buckets are made when they do not exist.
	Buckets []string

	// Ready is called once, when requests are answered and the buckets exist.
	Ready func(Info)
}

// Info is what a client needs to know.
type Info struct {
	Endpoints []string `json:"endpoints"` // http://HOST:PORT or unix://PATH, in the order of Options.Listen
	AccessKey string   `json:"access_key"`
	SecretKey string   `json:"secret_key"`
	Region    string   `json:"region"`
}

// WriteReady prints i as one line of JSON: what a program that starts the server as a process waits for.
func (i Info) WriteReady(w io.Writer) error {
	return json.NewEncoder(w).Encode(struct {
		Event    string `json:"event"`
		Endpoint string `json:"endpoint"`
		Info
	}{"s3_ready", i.Endpoints[0], i})
}

// Serve serves until ctx is done, then lets the requests under way end (for ten
// seconds at most) and returns nil. Any other end is an error.
func Serve(ctx context.Context, o Options) error {
	if ctx.Err() != nil {
		return nil
	}
	o, err := o.complete()
	if err != nil {
		return err
	}
	lock, err := lockData(o.Data)
	if err != nil {
		return err
	}
	defer lock.Close()

	var m meta.XattrMeta
	if err := m.Test(o.Data); err != nil {
		return fmt.Errorf("cannot keep objects in %q: %w; choose a directory on a file system with user extended attributes (ext4, xfs, btrfs, or tmpfs from Linux 6.6 on)", o.Data, err)
	}
	addresses, err := resolve(o.Listen)
	if err != nil {
		return err
	}
	// Zero would mean that nothing may be copied.
	opts := posix.PosixOpts{CopyObjectThreshold: maxCopy}
	opts.SetNewDirPerm(0o700)
	opts.SetNewFilePerm(0o600)
	store, err := posix.New(o.Data, m, opts)
	if err != nil {
		return fmt.Errorf("cannot open %q as an object store: %w", o.Data, err)
	}

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	before, err := listening()
	if err != nil {
		return err
	}
	started := make(chan struct{})
	onListen := func() {
		defer close(started)
		info, err := o.info(addresses, before)
		if err == nil {
			// The listener's backlog already takes connections, but nothing is
			// answered before this hook returns: ask from beside it.
			go func() {
				if err := makeBuckets(ctx, info, o.Buckets); err != nil {
					cancel(err)
					return
				}
				if o.Ready != nil {
					o.Ready(info)
				}
			}()
			return
		}
		cancel(err)
	}
	err = embedgw.RunVersityGW(ctx, guarded{store, o.Data}, &embedgw.Config{
		RootUserAccess:    o.AccessKey,
		RootUserSecret:    o.SecretKey,
		IAMService:        o.account(),
		Region:            o.Region,
		Ports:             addresses,
		MaxConnections:    maxRequests,
		MaxRequests:       maxRequests,
		MultipartMaxParts: 10_000, // S3's own limit
		Quiet:             true,
		KeepAlive:         true,
		DisableACLs:       true,
		SocketPerm:        "0600",
		S3Options:         []s3api.Option{s3api.WithOnListen(onListen), s3api.WithMiddleware("/", guard)},
	})
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	if err != nil {
		return fmt.Errorf("cannot serve S3 on %v: %w", o.Listen, err)
	}
	return nil
}

// complete checks the options and fills in what is left out.
func (o Options) complete() (Options, error) {
	if len(o.Listen) == 0 {
		return o, errors.New("cannot serve S3: no address to listen on; name one as HOST:PORT or unix://PATH")
	}
	if (o.AccessKey == "") != (o.SecretKey == "") {
		return o, errors.New("cannot serve S3: an access key and a secret key come together; give both or neither")
	}
	if o.AccessKey == "" {
		o.AccessKey, o.SecretKey = newCredentials()
	}
	if o.Region == "" {
		o.Region = defaultRegion
	}
	if o.Data == "" {
		return o, errors.New("cannot serve S3: no data directory")
	}
	abs, err := filepath.Abs(o.Data)
	if err != nil {
		return o, fmt.Errorf("cannot find the data directory %q: %w", o.Data, err)
	}
	o.Data = abs
	if err := os.MkdirAll(o.Data, 0o700); err != nil {
		return o, fmt.Errorf("cannot make the data directory: %w", err)
	}
	return o, nil
}

// account is the one account there is. Left to choose, the gateway chooses the same
// and says so on stdout, where our own line of JSON goes.
func (o Options) account() auth.IAMService {
	return auth.NewIAMServiceSingle(auth.Account{Access: o.AccessKey, Secret: o.SecretKey, Role: auth.RoleAdmin})
}

// info pairs the addresses asked for with those that the kernel gave.
func (o Options) info(addresses []string, before map[int]string) (Info, error) {
	bound, err := boundSince(before)
	if err != nil {
		return Info{}, err
	}
	paired, ok := pair(addresses, bound)
	if !ok {
		return Info{}, fmt.Errorf("cannot tell where S3 is served: asked for %v, listening on %v", addresses, bound)
	}
	i := Info{AccessKey: o.AccessKey, SecretKey: o.SecretKey, Region: o.Region}
	for n, a := range addresses {
		if isUnix(a) {
			i.Endpoints = append(i.Endpoints, unixhttp.Scheme+a)
		} else {
			i.Endpoints = append(i.Endpoints, "http://"+paired[n])
		}
	}
	return i, nil
}
