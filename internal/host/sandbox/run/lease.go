package run

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/hostd/sockdir"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// errStore says that the store is unavailable, so that nothing was started.
var errStore = errors.New("the store is unavailable")

// storeWithin bounds the first question to the store.
const storeWithin = 30 * time.Second

// readLease reads who holds the workspace, through the sandbox's own socket: what is wrong
// with the bucket or the credentials shows here, before there is a container.
func readLease(ctx context.Context, sandboxDir datadir.Sandbox, r datadir.Record) (h contract.LeaseHolder, err error) {
	fail := func(format string, args ...any) (contract.LeaseHolder, error) {
		return h, fmt.Errorf("cannot reach the workspace s3://%s/%s: %w: %s", r.Store.Bucket, r.UserPrefix(), errStore, fmt.Sprintf(format, args...))
	}
	ctx, stop := context.WithTimeout(ctx, storeWithin)
	defer stop()
	dir, err := sockdir.Open(sandboxDir.HostDir())
	if err != nil {
		return h, err
	}
	defer dir.Close()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dir.Dial(ctx, contract.HostStorageSocketName)
	}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://s3/"+r.Store.Bucket+"/"+r.UserPrefix()+contract.LeaseName, nil)
	if err != nil {
		return h, err
	}
	res, err := c.Do(req)
	if err != nil {
		return fail("%v", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return fail("%v", err)
	}
	if res.StatusCode == http.StatusOK {
		if json.Unmarshal(body, &h) != nil {
			h = contract.LeaseHolder{} // of an unknown holder: it expires like any other
		}
		return h, nil
	}
	var e struct{ Code, Message, Region string }
	_ = xml.Unmarshal(body, &e) // a proxy may answer in another language
	switch {
	case e.Code == "NoSuchKey":
		return h, nil
	case e.Code == "NoSuchBucket":
		return fail("there is no such bucket; make it, or name another with --s3-bucket")
	case res.StatusCode == http.StatusMovedPermanently || e.Code == "AuthorizationHeaderMalformed":
		return fail("the bucket is in another region%s; name it with --s3-region", in(firstOf(e.Region, res.Header.Get("X-Amz-Bucket-Region"))))
	case res.StatusCode == http.StatusForbidden:
		return fail("%s; check this program's AWS credentials and their rights to that prefix; the log of `sandbox hostd` has the store's answer", e.Code)
	}
	return fail("%s %s %s; see whether the endpoint is right and answers", res.Status, e.Code, e.Message)
}

func in(region string) string {
	if region == "" {
		return ""
	}
	return " (" + region + ")"
}

// takeover gives the INSTANCE to take the lease from: its holder is a sandbox of this data
// directory, and the engine that ran it says that its container does not run, or it was removed. In any other
// case the holder may live, perhaps on another machine, and its lease has to run out.
func takeover(ctx context.Context, e *engine.Engine, d datadir.Dir, h contract.LeaseHolder) (string, error) {
	if h.Instance == "" || h.Released {
		return "", nil
	}
	if d.IsDead(h.Instance) {
		return h.Instance, nil
	}
	dirs, err := d.List()
	if err != nil {
		return "", err
	}
	for _, p := range dirs {
		if p.Instance() != h.Instance {
			continue
		}
		r, err := p.Load()
		if errors.Is(err, fs.ErrNotExist) || r.Container == "" || r.Engine != e.ID() {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		c, err := e.Inspect(ctx, r.Container)
		if errors.Is(err, engine.ErrNoContainer) || err == nil && !c.Running {
			return h.Instance, nil
		}
		return "", err
	}
	return "", nil
}
