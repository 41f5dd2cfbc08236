package hostd

import (
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/matrx/sandbox/internal/host/hostd/gateway"
	"github.com/matrx/sandbox/internal/host/hostd/s3server"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
	"github.com/matrx/sandbox/internal/unixhttp"
)

// upstream gives the store that a record names.
func (d *Daemon) upstream(id string, s datadir.Store) (gateway.Upstream, error) {
	if s.Embedded {
		return d.embedded(s)
	}
	up := gateway.Upstream{Bucket: s.Bucket, Region: s.Region, Endpoint: s.Endpoint, PathStyle: s.PathStyle}
	if s.AccessKey != "" {
		up.Credentials = provider{d.secrets, id, s.AccessKey}
		return up, nil
	}
	var opts []func(*config.LoadOptions) error
	if s.Profile != "" {
		opts = append(opts, config.WithSharedConfigProfile(s.Profile))
	}
	if s.CredentialsFile != "" {
		opts = append(opts, config.WithSharedCredentialsFiles([]string{s.CredentialsFile}))
	}
	if s.ConfigFile != "" {
		opts = append(opts, config.WithSharedConfigFiles([]string{s.ConfigFile}))
	}
	if s.Region != "" {
		opts = append(opts, config.WithRegion(s.Region))
	}
	cfg, err := config.LoadDefaultConfig(d.ctx, opts...)
	if err != nil {
		return up, fmt.Errorf("cannot find credentials for the bucket %q: %w", s.Bucket, err)
	}
	up.Credentials = cfg.Credentials
	return up, nil
}

// embedded is the embedded S3 of this daemon: in this process, and started when the first
// sandbox needs it.
type embedded struct {
	mu      sync.Mutex
	started bool
	info    s3server.Info
	stop    context.CancelFunc
	done    chan struct{}
}

func (d *Daemon) embedded(s datadir.Store) (gateway.Upstream, error) {
	d.store.mu.Lock()
	defer d.store.mu.Unlock()
	if !d.store.started {
		if err := d.startStore(s.Bucket); err != nil {
			return gateway.Upstream{}, err
		}
		d.store.started = true
	}
	return gateway.Upstream{
		Bucket:      s.Bucket,
		Region:      d.store.info.Region,
		Endpoint:    "http://s3.invalid", // never resolved: Dial goes to the socket
		PathStyle:   true,
		Credentials: credentials.NewStaticCredentialsProvider(d.store.info.AccessKey, d.store.info.SecretKey, ""),
		Dial:        func(ctx context.Context) (net.Conn, error) { return d.sockets.Dial(ctx, storeName) },
	}, nil
}

// startStore starts the embedded S3. That it ends by itself is the daemon's end: the next
// one starts it anew.
func (d *Daemon) startStore(bucket string) error {
	ctx, stop := context.WithCancel(context.WithoutCancel(d.ctx))
	ready, failed := make(chan s3server.Info, 1), make(chan error, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := s3server.Serve(ctx, s3server.Options{
			// Its account is a new one each time, and in this process alone.
			Data:    d.Dir.Buckets(),
			Listen:  []string{unixhttp.Scheme + d.sockets.Address(storeName)},
			Buckets: []string{bucket},
			Ready:   func(i s3server.Info) { ready <- i },
		})
		if ctx.Err() == nil {
			err = fmt.Errorf("the embedded S3 has ended: %w", err)
			d.fail(err)
		}
		failed <- err
	}()
	select {
	case d.store.info = <-ready:
		d.store.stop, d.store.done = stop, done
		return nil
	case err := <-failed:
		stop()
		return err
	}
}

func (e *embedded) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.started {
		e.stop()
		<-e.done
	}
}
