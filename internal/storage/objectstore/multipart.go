package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/matrx/sandbox/internal/storage/objectstore/protocol"
)

// Limits of multipart uploads ("Amazon S3 multipart upload limits").
const (
	minPart  = 5 << 20
	maxPart  = 5 << 30
	maxParts = 10_000
)

// part is one part of an upload: where it lies in the body, and what the store said of it.
type part struct {
	offset, size int64
	crc          uint32
	etag         string
	done         bool
	copied       bool // from the upload's basis
}

// upload is a multipart upload under way.
type upload struct {
	store *Store
	key   string
	id    string
	body  io.ReaderAt
	parts []part
	md5   bool  // checksums are those of Content-MD5
	basis Basis // of the parts that are copied
	form  int32 // wholeChecksum, partChecksums, noChecksums
}

// putParts writes an object in parts. They are read from body while they are sent, and
// twice, so that none is ever held in memory.
func (s *Store) putParts(ctx context.Context, key string, body io.ReaderAt, size int64, o PutOptions) (Object, error) {
	parts, err := cut(size, s.options.PartSize)
	if err != nil {
		return Object{}, s.fail(&request{verb: verbPut, key: key}, ErrTooLarge, err)
	}
	begin := func(id string, md5 bool) *upload {
		return &upload{store: s, key: key, id: id, body: body, parts: slices.Clone(parts), md5: md5, form: s.dialect.checksums.Load()}
	}
	return s.withChecksum(ctx, func(md5 bool) (Object, error) {
		u := begin(o.UploadID, md5)
		obj, err := u.run(ctx, size, o)
		// One that was broken off may have been given up, and a store that answers 409 to its
		// completion forgets it ("CompleteMultipartUpload", ConditionalRequestConflict).
		for n := 0; n < fewAttempts && errors.Is(err, errNoUpload); n++ {
			s.log.Info("a multipart upload is gone; beginning anew", "event", "s3_upload_gone", "key", key)
			o.UploadID = ""
			u = begin("", md5)
			obj, err = u.run(ctx, size, o)
		}
		if err != nil && u.id != "" && (o.OnUploadID == nil || errors.Is(err, ErrPrecondition) || refusesChecksum(err)) {
			o.UploadID = ""
			u.abandon(ctx)
		}
		return obj, err
	})
}

// cut divides a body into parts of equal size, the last one aside.
func cut(size, partSize int64) ([]part, error) {
	const mib = 1 << 20
	if least := (size + maxParts - 1) / maxParts; partSize < least {
		partSize = (least + mib - 1) / mib * mib
	}
	if partSize > maxPart {
		return nil, fmt.Errorf("%d bytes do not fit into %d parts", size, maxParts)
	}
	return cutMust(size, partSize), nil
}

func cutMust(size, partSize int64) []part {
	var parts []part
	for off := int64(0); off < size; off += partSize {
		parts = append(parts, part{offset: off, size: min(partSize, size-off)})
	}
	return parts
}

func (u *upload) run(ctx context.Context, size int64, o PutOptions) (Object, error) {
	if u.id == "" {
		if err := u.create(ctx, o.Metadata); err != nil {
			return Object{}, err
		}
		if o.OnUploadID != nil {
			o.OnUploadID(u.id)
		}
	} else if err := u.recall(ctx); err != nil {
		return Object{}, err
	}
	if err := u.send(ctx); err != nil {
		return Object{}, err
	}
	return u.complete(ctx, size, o)
}

// create begins an upload whose checksum will be that of the whole content, where the store has such.
func (u *upload) create(ctx context.Context, meta map[string]string) error {
	err := u.createAs(ctx, meta, u.form)
	if u.md5 || u.form != wholeChecksum || !refusesForm(err) {
		return err
	}
	if u.createAs(ctx, meta, partChecksums) != nil {
		return err // it was something else
	}
	u.settle(partChecksums)
	return nil
}

// settle keeps what the store takes for the uploads that follow.
func (u *upload) settle(form int32) {
	u.form = form
	if u.store.dialect.checksums.Swap(form) < form {
		u.store.log.Warn("the store keeps no checksum of a whole object that is uploaded in parts; such objects cannot be checked when they are read",
			"event", "s3_no_whole_checksums")
	}
}

func (u *upload) createAs(ctx context.Context, meta map[string]string, form int32) error {
	r := &request{verb: verbCreate, method: http.MethodPost, key: u.key, query: "uploads="}
	if !u.md5 {
		r.set("X-Amz-Checksum-Algorithm", "CRC32C")
	}
	if !u.md5 && form == wholeChecksum {
		r.set("X-Amz-Checksum-Type", "FULL_OBJECT")
	}
	setMetadata(r, meta)
	r.document = func(b []byte) error {
		u.id = ""
		err := protocol.ScanXML(b, func(parent, name, text []byte) error {
			if string(name) == "UploadId" {
				u.id = protocol.UnescapeXML(text)
			}
			return nil
		})
		if err == nil && u.id == "" {
			err = protocol.ErrXML
		}
		return err
	}
	_, err := u.store.do(ctx, r)
	return err
}

// send uploads what is not there yet, several parts at a time. After a failure no further part
// is begun, but those under way are left to end: one that is cut off may arrive after
// the upload has been given up, and would stay in the bucket for good.
func (u *upload) send(ctx context.Context) error {
	var g errgroup.Group
	var failed atomic.Bool
	g.SetLimit(u.store.options.Parts)
	for i := range u.parts {
		if failed.Load() || ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			err := u.sendPart(ctx, i)
			if err != nil {
				failed.Store(true)
			}
			return err
		})
	}
	return join(g.Wait(), context.Cause(ctx))
}

func (u *upload) sendPart(ctx context.Context, i int) error {
	p := &u.parts[i]
	if p.copied {
		return u.copyPart(ctx, i)
	}
	sum, err := u.store.sumsOf(u.body, p.offset, p.size, u.md5)
	if err != nil {
		return u.store.fail(&request{verb: verbPart, key: u.key}, nil, err)
	}
	if p.done && p.crc == sum.crc {
		return nil
	}
	p.crc, p.done = sum.crc, false
	r := &request{
		verb: verbPart, method: http.MethodPut, key: u.key,
		query: "partNumber=" + strconv.Itoa(i+1) + "&uploadId=" + protocol.EscapeQuery(u.id),
		body:  io.NewSectionReader(u.body, p.offset, p.size), size: p.size,
	}
	sum.set(r)
	resp, err := u.store.do(ctx, r)
	if err != nil {
		return err
	}
	p.etag, p.done = bare(resp.Header.Get("Etag")), true
	return nil
}

// complete makes the object of its parts. A store that refuses what it says of checksums, though it
// has verified each part, is asked again with less of them.
func (u *upload) complete(ctx context.Context, size int64, o PutOptions) (Object, error) {
	if err := o.verify(u.store, &request{verb: verbComplete, key: u.key}); err != nil {
		return Object{}, err
	}
	return u.store.insist(ctx, u.key, o.Condition, func(c Condition) (Object, error) {
		o.Condition = c
		obj, err := u.completeAs(ctx, size, o, u.form)
		if u.md5 || !refusesForm(err) {
			return obj, err
		}
		for form := u.form + 1; form <= noChecksums; form++ {
			if obj, less := u.completeAs(ctx, size, o, form); !refusesForm(less) {
				if less == nil {
					u.settle(form)
				}
				return obj, less
			}
		}
		return obj, err
	})
}

func (u *upload) completeAs(ctx context.Context, size int64, o PutOptions, form int32) (Object, error) {
	s := u.store
	if u.md5 {
		form = noChecksums
	}
	doc, whole := u.document(form)
	body := strings.NewReader(doc)
	r := &request{verb: verbComplete, method: http.MethodPost, key: u.key, query: "uploadId=" + protocol.EscapeQuery(u.id), body: body, size: body.Size()}
	sum, err := s.sumsOf(body, 0, body.Size(), false)
	if err != nil {
		return Object{}, err
	}
	r.sha256 = sum.sha256
	r.set("Content-Type", "application/xml")
	if form == wholeChecksum {
		r.set("X-Amz-Checksum-Crc32c", protocol.CRC32CValue(whole))
		r.set("X-Amz-Checksum-Type", "FULL_OBJECT")
		r.set("X-Amz-Mp-Object-Size", strconv.FormatInt(size, 10))
	}
	if err := s.condition(ctx, r, o.Condition, s.conditional.Load().Complete); err != nil {
		return Object{}, err
	}
	var etag string
	r.document = etagOf(&etag)
	resp, err := s.do(ctx, r)
	if err != nil {
		return s.own(ctx, r, o.Metadata, err)
	}
	obj := written(u.key, size, resp.Header, o.Metadata)
	obj.ETag = etag
	return s.settled(ctx, obj), nil
}

// document is the list of the parts, and the CRC32C of the whole.
func (u *upload) document(form int32) (doc string, whole uint32) {
	var b strings.Builder
	b.WriteString(`<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`)
	for i, p := range u.parts {
		fmt.Fprintf(&b, "<Part><PartNumber>%d</PartNumber><ETag>&quot;%s&quot;</ETag>", i+1, protocol.EscapeXML(p.etag))
		if form != noChecksums {
			fmt.Fprintf(&b, "<ChecksumCRC32C>%s</ChecksumCRC32C>", protocol.CRC32CValue(p.crc))
		}
		b.WriteString("</Part>")
		whole = protocol.CombineCRC32C(whole, p.crc, p.size)
	}
	b.WriteString("</CompleteMultipartUpload>")
	return b.String(), whole
}
