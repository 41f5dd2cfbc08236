package rawclient

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
)

// largeWorkers is how many parts or ranges of one object are under way at a time. More
// only makes them wait for each other on a machine with few cores.
const largeWorkers = 8

// UploadFile puts one large file in parts.
func (c *Client) UploadFile(ctx context.Context, path, key string) (Stats, error) {
	f, err := os.Open(path)
	if err != nil {
		return Stats{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return Stats{}, err
	}
	s := Stats{Objects: 1, Bytes: st.Size()}
	resp, err := c.do(ctx, "POST", key, "uploads=", nil, nil, 0)
	if err != nil {
		return s, err
	}
	var created struct {
		UploadID string `xml:"UploadId"`
	}
	err = xml.NewDecoder(resp.Body).Decode(&created)
	resp.Body.Close()
	if err != nil {
		return s, err
	}
	parts := int((s.Bytes + c.o.PartSize - 1) / c.o.PartSize)
	etags := make([]string, parts)
	err = c.large().each(ctx, parts, func(ctx context.Context, i int) error {
		off := int64(i) * c.o.PartSize
		n := min(c.o.PartSize, s.Bytes-off)
		h, err := c.drop(ctx, "PUT", key, "partNumber="+strconv.Itoa(i+1)+"&uploadId="+escape(created.UploadID), io.NewSectionReader(f, off, n), n)
		etags[i] = h.Get("Etag")
		return err
	})
	if err != nil {
		return s, err
	}
	var doc strings.Builder
	doc.WriteString("<CompleteMultipartUpload>")
	for i, e := range etags {
		fmt.Fprintf(&doc, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", i+1, e)
	}
	doc.WriteString("</CompleteMultipartUpload>")
	_, err = c.drop(ctx, "POST", key, "uploadId="+escape(created.UploadID), strings.NewReader(doc.String()), int64(doc.Len()))
	return s, err
}

// DownloadFile gets one large object in ranges.
func (c *Client) DownloadFile(ctx context.Context, key, path string, size int64) (Stats, error) {
	f, err := os.Create(path)
	if err != nil {
		return Stats{}, err
	}
	defer f.Close()
	s := Stats{Objects: 1, Bytes: size}
	parts := int((size + c.o.PartSize - 1) / c.o.PartSize)
	return s, c.large().each(ctx, parts, func(ctx context.Context, i int) error {
		off := int64(i) * c.o.PartSize
		return c.ranged(ctx, key, off, min(c.o.PartSize, size-off), io.NewOffsetWriter(f, off))
	})
}

// Sequential reads one object from its beginning to its end in one request, and keeps nothing.
func (c *Client) Sequential(ctx context.Context, key string) (Stats, error) {
	resp, err := c.do(ctx, "GET", key, "", nil, nil, 0)
	if err != nil {
		return Stats{}, err
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	return Stats{Objects: 1, Bytes: n}, err
}

// Random reads n pieces of size bytes at random offsets of an object of total bytes, one after
// the other.
func (c *Client) Random(ctx context.Context, key string, total int64, n int, size int64) (Stats, error) {
	r := rand.New(rand.NewPCG(1, 2))
	for range n {
		off := r.Int64N(total/size) * size
		if err := c.ranged(ctx, key, off, size, io.Discard); err != nil {
			return Stats{}, err
		}
	}
	return Stats{Objects: n, Bytes: int64(n) * size}, nil
}

func (c *Client) ranged(ctx context.Context, key string, off, n int64, w io.Writer) error {
	resp, err := c.do(ctx, "GET", key, "", map[string]string{"Range": fmt.Sprintf("bytes=%d-%d", off, off+n-1)}, nil, 0)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.Copy(w, resp.Body)
	if err == nil && got != n {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func (c *Client) large() *Client {
	l := *c
	l.o.Workers = min(c.o.Workers, largeWorkers)
	return &l
}
