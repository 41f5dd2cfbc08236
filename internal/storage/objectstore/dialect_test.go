package objectstore

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/matrx/sandbox/internal/storage/objectstore/protocol"
	"github.com/matrx/sandbox/internal/testbed"
)

func TestConditionIsSentInTheFormThatTheStoreCompares(t *testing.T) {
	b := newBench(t)
	b.fault("PUT", 0, testbed.BareETags())
	if c := b.probe(); !c.Put {
		t.Fatalf("honoured: %q", c.Verbs())
	}
	o := b.mustPut("k", "one")
	if _, err := b.put("k", "two", PutOptions{Condition: Condition{IfMatch: o.ETag, Atomic: true}}); err != nil {
		t.Error(err)
	}
	_, err := b.put("k", "three", PutOptions{Condition: Condition{IfMatch: o.ETag, Atomic: true}})
	b.want(err, ErrPrecondition)
	b.bucket.Want("k", "two")
}

// A store that answers 412 to the very ETag that it gives.
func TestConditionThatHoldsIsNoConflict(t *testing.T) {
	b := newBench(t, smallParts)
	for _, verb := range []string{"PUT", "DELETE", "COMPLETE"} {
		always412(b, verb)
	}
	o := b.mustPut("k", "one")
	_, err := b.put("k", "two", PutOptions{Condition: Condition{IfMatch: o.ETag, Atomic: true}})
	b.want(err, ErrPrecondition)
	b.bucket.Want("k", "one")
	large := content(minPart + 1)
	for _, body := range []string{"two", string(large)} {
		written, err := b.put("k", body, PutOptions{Condition: Condition{IfMatch: o.ETag}})
		if err != nil {
			t.Fatal(err)
		}
		b.bucket.Want("k", body)
		_, err = b.put("k", "three", PutOptions{Condition: Condition{IfMatch: o.ETag}})
		b.want(err, ErrPrecondition)
		b.want(b.store.Delete(t.Context(), "k", Condition{IfMatch: o.ETag}), ErrPrecondition)
		b.bucket.Want("k", body)
		o = written
	}
	if err := b.store.Delete(t.Context(), "k", Condition{IfMatch: o.ETag}); err != nil {
		t.Error(err)
	}
	b.bucket.WantNone("k")
}

func TestUploadInPartsSaysWhatTheStoreTakesOfChecksums(t *testing.T) {
	header := func(verb, name string, status int, code string) testbed.Fault {
		return testbed.Fault{When: testbed.Match{Verb: verb, Header: name}, Do: testbed.Refuse(status, code)}
	}
	inBody := testbed.Fault{When: testbed.Match{Verb: "COMPLETE"}, Do: testbed.RefuseBody("ChecksumCRC32C", 400, "MalformedXML")}
	for name, faults := range map[string][]testbed.Fault{
		"no whole checksum at the beginning": {header("CREATE", "X-Amz-Checksum-Type", 400, "InvalidArgument")},
		"composite ones alone":               {header("COMPLETE", "X-Amz-Checksum-Crc32c", 400, "BadDigest")},
		"another digest is an invalid part":  {header("COMPLETE", "X-Amz-Checksum-Crc32c", 400, "InvalidPart")},
		"none in the list of parts":          {inBody, header("COMPLETE", "X-Amz-Checksum-Crc32c", 501, "NotImplemented")},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, smallParts)
			for _, f := range faults {
				b.proxy.Add(f)
			}
			body := content(2*minPart + 1)
			for range 2 {
				b.proxy.Forget()
				if _, err := b.store.Put(t.Context(), "k", bytes.NewReader(body), int64(len(body)), PutOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			b.bucket.Want("k", string(body))
			if n := b.proxy.Count("CREATE") + b.proxy.Count("COMPLETE"); n != 2 {
				t.Errorf("the second upload is begun and completed with %d requests, want 2", n)
			}
			if u := b.bucket.Uploads(); len(u) != 0 {
				t.Errorf("uploads left behind: %v", u)
			}
		})
	}
}

func TestReadsGoWithoutTheChecksumModeThatIsRefused(t *testing.T) {
	b := newBench(t)
	b.mustPut("k", "one")
	f := b.proxy.Add(testbed.Fault{When: testbed.Match{Header: "X-Amz-Checksum-Mode"}, Do: testbed.Refuse(400, "InvalidArgument")})
	for range 3 {
		if body, err := b.get("k", GetOptions{}); err != nil || body != "one" {
			t.Errorf("%q, %v", body, err)
		}
		if _, err := b.store.Head(t.Context(), "k"); err != nil {
			t.Error(err)
		}
	}
	if f.Hits() != 1 {
		t.Errorf("it was asked for %d times", f.Hits())
	}
	_, err := b.get("none", GetOptions{})
	b.want(err, ErrNotFound)
}

// Some stores give the checksum of the parts' checksums under the name of that of the content.
func TestMislabelledChecksumIsNoDamage(t *testing.T) {
	b := newBench(t, smallParts)
	body := content(2*minPart + 1)
	if _, err := b.store.Put(t.Context(), "k", bytes.NewReader(body), int64(len(body)), PutOptions{}); err != nil {
		t.Fatal(err)
	}
	h, whole := (protocol.Checksum{Algorithm: "crc32c"}).Hash(), bytes.NewReader(body)
	for _, p := range cutMust(int64(len(body)), minPart) {
		sum, err := sumsOf(whole, p.offset, p.size, false, false)
		if err != nil {
			t.Fatal(err)
		}
		h.Write([]byte{byte(sum.crc >> 24), byte(sum.crc >> 16), byte(sum.crc >> 8), byte(sum.crc)})
	}
	label := func(sum []byte) {
		b.proxy.ClearFaults()
		b.fault("HEAD", 0, testbed.SetResponseHeader("X-Amz-Checksum-Crc32c", crcOf(sum)))
	}
	label(h.Sum(nil))
	got := &memory{b: make([]byte, len(body))}
	if _, err := b.store.Download(t.Context(), "k", got, DownloadOptions{}); err != nil || !bytes.Equal(got.b, body) {
		t.Error(err)
	}
	label([]byte{1, 2, 3, 4})
	_, err := b.store.Download(t.Context(), "k", got, DownloadOptions{})
	b.want(err, ErrChecksum)
}

func crcOf(sum []byte) string {
	return protocol.CRC32CValue(uint32(sum[0])<<24 | uint32(sum[1])<<16 | uint32(sum[2])<<8 | uint32(sum[3]))
}

func TestWriteWithoutETagInTheAnswerIsLookedUp(t *testing.T) {
	b := newBench(t)
	b.fault("PUT", 0, testbed.SetResponseHeader("Etag", ""))
	o, err := b.put("k", "one", PutOptions{Metadata: map[string]string{"sandbox-write": "w1"}})
	if err != nil {
		t.Fatal(err)
	}
	if s, _ := b.bucket.Get("k"); o.ETag == "" || o.ETag != s.ETag {
		t.Errorf("the ETag is %q, want %q", o.ETag, s.ETag)
	}
	// Another write follows before the look: no condition may become none.
	b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "HEAD"}, Times: 1, Do: testbed.Call(func() { b.bucket.Put("k", "theirs", nil) })})
	if o, err = b.put("k", "two", PutOptions{Metadata: map[string]string{"sandbox-write": "w2"}}); err != nil {
		t.Fatal(err)
	}
	_, err = b.put("k", "three", PutOptions{Condition: Condition{IfMatch: o.ETag}})
	b.want(err, ErrPrecondition)
	b.bucket.Want("k", "theirs")
}

// Some stores answer a COMPLETE with an ETag that the object does not have.
func TestLargeObjectCanBeDeletedByTheETagOfItsUpload(t *testing.T) {
	b := newBench(t, smallParts)
	f := b.fault("COMPLETE", 0, testbed.AnswerAnotherETag())
	large, meta := string(content(minPart+1)), map[string]string{"sandbox-write": "w"}
	for range 2 {
		o, err := b.put("k", large, PutOptions{Metadata: meta})
		if err != nil || b.store.Delete(t.Context(), "k", Condition{IfMatch: o.ETag}) != nil {
			t.Errorf("%+v, %v", o, err)
		}
		b.bucket.WantNone("k")
	}
	f.Remove()
	b.store.dialect.etags.v.Store(0)
	b.proxy.Forget()
	for range 3 {
		if _, err := b.put("k", large, PutOptions{Metadata: meta}); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.proxy.Count("HEAD"); n != 1 {
		t.Errorf("%d HEADs, where the ETags agree", n)
	}
}

func TestAbortThatIsRefusedIsNotRepeated(t *testing.T) {
	b := newBench(t, smallParts)
	b.fault("PART", 0, testbed.Refuse(403, "AccessDenied"))
	b.fault("ABORT", 0, testbed.Refuse(403, "AccessDenied"))
	_, err := b.put("k", string(content(minPart+1)), PutOptions{})
	b.want(err, ErrAccessDenied)
	if n := b.proxy.Count("ABORT"); n != 1 {
		t.Errorf("%d ABORTs", n)
	}
}

func TestProbeRemovesOnlyWhatItMayHaveWritten(t *testing.T) {
	b := newBench(t)
	b.fault("PUT", 0, testbed.Refuse(403, "AccessDenied"))
	if _, err := b.store.Probe(t.Context(), "p/"); !errors.Is(err, ErrAccessDenied) {
		t.Error(err)
	}
	if n := b.proxy.Count("DELETE"); n != 0 {
		t.Errorf("%d DELETEs of objects that were refused", n)
	}
}

func TestProbeFindsWhichChecksumIsVerified(t *testing.T) {
	for name, c := range map[string]struct {
		ignored []string
		md5     bool
		says    string
	}{
		"both":        {nil, false, ""},
		"Content-MD5": {[]string{"X-Amz-Checksum-Crc32c"}, true, "s3_checksum_ignored"},
		"none":        {[]string{"X-Amz-Checksum-Crc32c", "Content-Md5"}, false, "s3_unverified"},
	} {
		t.Run(name, func(t *testing.T) {
			var log lockedBuffer
			b := newBench(t, func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
			if c.ignored != nil {
				b.fault("PUT", 0, testbed.StripHeaders(c.ignored...))
			}
			b.probe()
			if got := b.store.dialect.md5.Load(); got != c.md5 || !strings.Contains(log.String(), c.says) {
				t.Errorf("uploads carry Content-MD5: %v; the log: %s", got, log.String())
			}
			b.mustPut("k", "one")
			// One that is kept and not verified may be that of another version.
			b.fault("GET", 0, testbed.SetResponseHeader("X-Amz-Checksum-Crc32c", "AAAAAA=="))
			if _, err := b.get("k", GetOptions{}); errors.Is(err, ErrChecksum) != (c.ignored == nil) {
				t.Errorf("read: %v", err)
			}
			if body, err := b.get("k", GetOptions{Unchecked: true}); err != nil || body != "one" {
				t.Errorf("read unchecked: %q, %v", body, err)
			}
		})
	}
}

// A store that answers 500 to each listing keeps a start waiting; the log says for what.
func TestRetriesAreSaidInTheLog(t *testing.T) {
	var log lockedBuffer
	b := newBench(t, func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	b.store.notice = 0
	b.fault("LIST", 5, testbed.Refuse(500, "InternalError"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := b.store.Check(ctx, ""); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 || !strings.Contains(log.String(), "InternalError") {
		t.Errorf("%d warnings: %s", n, log.String())
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
