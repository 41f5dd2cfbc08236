package objectstore

import (
	"context"
	"fmt"
	"net/http"

	"github.com/matrx/sandbox/internal/storage/objectstore/protocol"
)

// CopyRequest says what to copy inside the bucket, without its bytes coming here.
type CopyRequest struct {
	SrcKey    string
	SrcETag   string // the version to copy; ErrPrecondition when it is not there any more
	DstKey    string
	Condition                   // on DstKey
	Metadata  map[string]string // of the copy; it replaces that of the source
}

// MaxCopy is the size up to which S3 copies in one request ("CopyObject"), in bytes. What
// is larger has to be uploaded.
const MaxCopy = 5 << 30

// Copy copies an object. ErrPrecondition when either condition does not hold, ErrNotFound
// when there is no source.
func (s *Store) Copy(ctx context.Context, c CopyRequest) (Object, error) {
	r := &request{verb: verbCopy, method: http.MethodPut, key: c.DstKey}
	if err := checkMetadata(c.Metadata); err != nil {
		return Object{}, s.fail(r, ErrInvalid, err)
	}
	honoured := s.conditional.Load().Copy
	r.set("X-Amz-Copy-Source", "/"+protocol.EscapeQuery(s.options.S3.Bucket)+"/"+string(protocol.EscapePath(nil, c.SrcKey)))
	r.set("X-Amz-Metadata-Directive", "REPLACE")
	setMetadata(r, c.Metadata)
	if c.SrcETag != "" {
		r.set("X-Amz-Copy-Source-If-Match", quote(c.SrcETag))
		if !honoured {
			if err := s.look(ctx, r, c.SrcKey, Condition{IfMatch: c.SrcETag}); err != nil {
				return Object{}, err
			}
		}
	}
	if err := s.condition(ctx, r, c.Condition, honoured); err != nil {
		return Object{}, err
	}
	var etag string
	r.document = etagOf(&etag)
	resp, err := s.do(ctx, r)
	if err != nil {
		return s.own(ctx, r, c.Metadata, err)
	}
	o := written(c.DstKey, -1, resp.Header, c.Metadata)
	o.ETag, o.Ambiguous = etag, r.ambiguous
	return s.settled(ctx, o), nil
}

// etagOf reads the answer to a Copy or a Complete.
func etagOf(etag *string) func([]byte) error {
	return func(b []byte) error {
		*etag = ""
		err := protocol.ScanXML(b, func(parent, name, text []byte) error {
			if string(name) == "ETag" && len(parent) > 0 {
				*etag = bare(protocol.UnescapeXML(text))
			}
			return nil
		})
		if err == nil && *etag == "" {
			err = fmt.Errorf("%w with an ETag", protocol.ErrXML)
		}
		return err
	}
}
