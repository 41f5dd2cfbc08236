package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/host/hostd/s3server"
)

// s3Command is `sandbox s3`.
type s3Command struct {
	Data      string   `required:"" type:"path" placeholder:"DIR" help:"Directory of the buckets; made when missing."`
	Listen    []string `default:"127.0.0.1:9000" sep:"none" placeholder:"ADDR" help:"HOST:PORT (port 0: any free one) or unix://PATH; repeatable."`
	AccessKey string   `placeholder:"KEY" help:"Access key; random when not given."`
	SecretKey string   `env:"SANDBOX_S3_SECRET_KEY" placeholder:"SECRET" help:"Secret key. On the command line every user of the machine can read it; in $SANDBOX_S3_SECRET_KEY they cannot."`
	Region    string   `default:"us-east-1" help:"Region to be in."`
	Bucket    []string `sep:"none" placeholder:"NAME" help:"Bucket to make when it does not exist; repeatable."`
	ParentPID int      `name:"parent-pid" placeholder:"PID" help:"End when this process does."`
	JSON      bool     `name:"json" help:"Print one line of JSON when ready."`
}

func (c *s3Command) Run(ctx context.Context) error {
	if c.ParentPID != 0 {
		var err error
		if ctx, err = endWith(ctx, c.ParentPID); err != nil {
			return err
		}
	}
	return s3server.Serve(ctx, s3server.Options{
		Data:      c.Data,
		Listen:    c.Listen,
		AccessKey: c.AccessKey,
		SecretKey: c.SecretKey,
		Region:    c.Region,
		Buckets:   c.Bucket,
		Ready:     c.ready,
	})
}

func (c *s3Command) ready(i s3server.Info) {
	if c.JSON {
		_ = i.WriteReady(os.Stdout) // a reader that closed it wants no answer
		return
	}
	fmt.Printf("S3 is ready on %s\n", strings.Join(i.Endpoints, " and "))
	fmt.Printf("  export AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s AWS_REGION=%s\n", i.AccessKey, i.SecretKey, i.Region)
	if strings.HasPrefix(i.Endpoints[0], "http://") {
		fmt.Printf("  export AWS_ENDPOINT_URL=%s\n", i.Endpoints[0])
	}
}

// endWith gives a context that is done when process pid has ended. A process that
// has ended before is no error: the context is done at once.
func endWith(ctx context.Context, pid int) (context.Context, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		return ctx, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot watch process %d: %w", pid, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer unix.Close(fd)
		defer cancel()
		// A pidfd is readable when its process has ended (pidfd_open(2)).
		for {
			_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
			if !errors.Is(err, unix.EINTR) {
				return
			}
		}
	}()
	return ctx, nil
}
