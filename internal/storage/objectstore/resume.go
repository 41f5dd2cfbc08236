package objectstore

import (
	"context"
	"encoding/base64"
	"net/http"
	"strconv"

	"github.com/matrx/sandbox/internal/storage/objectstore/protocol"
)

// recall asks which parts of an upload the store has. What it says is only believed of
// parts that lie where ours do and whose checksum it kept; sendPart then compares that
// checksum with the body's.
func (u *upload) recall(ctx context.Context) error {
	for marker := ""; ; {
		r := &request{verb: verbListParts, method: http.MethodGet, key: u.key}
		if marker != "" {
			r.query = "part-number-marker=" + marker + "&"
		}
		r.query += "uploadId=" + protocol.EscapeQuery(u.id)
		var next string
		r.document = func(b []byte) (err error) {
			next, err = u.parseParts(b)
			return err
		}
		if _, err := u.store.do(ctx, r); err != nil {
			return err
		}
		if next == "" || next == marker {
			return nil
		}
		marker = next
	}
}

// parseParts reads a ListPartsResult; next is empty at the end of the list.
func (u *upload) parseParts(b []byte) (next string, err error) {
	var cur part
	number, truncated := 0, false
	err = protocol.ScanXML(b, func(parent, name, text []byte) (err error) {
		v := protocol.UnescapeXML(text)
		switch string(parent) {
		case "Part":
			switch string(name) {
			case "PartNumber":
				number, err = strconv.Atoi(v)
			case "ETag":
				cur.etag = bare(v)
			case "Size":
				cur.size, err = strconv.ParseInt(v, 10, 64)
			case "ChecksumCRC32C":
				if sum, e := base64.StdEncoding.DecodeString(v); e == nil && len(sum) == 4 {
					cur.crc, cur.done = uint32(protocol.BigEndian(sum)), true
				}
			}
		case "ListPartsResult":
			switch string(name) {
			case "Part":
				if i := number - 1; cur.done && i >= 0 && i < len(u.parts) && u.parts[i].size == cur.size {
					p := &u.parts[i]
					p.crc, p.etag, p.done = cur.crc, cur.etag, true
				}
				cur, number = part{}, 0
			case "IsTruncated":
				truncated, err = strconv.ParseBool(v)
			case "NextPartNumberMarker":
				next = v
			}
		}
		return err
	})
	if !truncated {
		next = ""
	}
	return next, err
}
