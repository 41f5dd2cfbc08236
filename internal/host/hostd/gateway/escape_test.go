package gateway

import (
	"bytes"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// prison is a gateway before the embedded server, with another user's files and files of
// the host around what the sandbox may reach.
type prison struct {
	*Gateway
	upload  string   // an upload of the sandbox's own, under way
	secrets []string // what no answer may contain
	before  map[string]string
}

const (
	inmate = "users/inmate/"
	victim = "users/victim/"
)

// newPrison makes the files. The secrets are random, so that no request can name them.
func newPrison(t testing.TB) *prison {
	t.Helper()
	secret := rand.Text()
	p := &prison{secrets: []string{secret, fmt.Sprintf("%x", md5.Sum([]byte(secret)))}}
	for key, body := range map[string]string{
		inmate + "hot/mine":           "mine",
		victim + "hot/" + secret:      secret,
		victim + "hot/secret":         secret,
		victim + "hot/empty/" + "x":   secret,
		"users/inmate2/hot/" + secret: secret,
		"top":                         secret,
	} {
		place(t, key, body)
	}
	beginPart(t, victim+"hot/upload", secret)
	p.upload = beginPart(t, inmate+"hot/upload", "part")
	for _, name := range []string{"secret", "1", "2", "empty/x", secret} {
		path := filepath.Join(hostDir, "host", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g, err := New(t.Context(), Options{Scope: Scope{Bucket: bucket, Prefix: inmate}, Upstream: upstream(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	p.Gateway = g
	p.before = p.outside(t)
	return p
}

func place(t testing.TB, key, body string) {
	t.Helper()
	_, err := direct().PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: strings.NewReader(body)})
	if err != nil {
		t.Fatalf("cannot put %q: %v", key, err)
	}
}

func beginPart(t testing.TB, key, body string) string {
	t.Helper()
	up, err := direct().CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: aws.String(bucket), Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	_, err = direct().UploadPart(t.Context(), &s3.UploadPartInput{Bucket: aws.String(bucket), Key: &key, UploadId: up.UploadId,
		PartNumber: aws.Int32(1), Body: strings.NewReader(body)})
	if err != nil {
		t.Fatal(err)
	}
	return *up.UploadId
}

// uploadsDir is where the embedded server keeps the parts of a key.
func uploadsDir(key string) string {
	return filepath.Join("data", bucket, ".sgwtmp", "multipart", fmt.Sprintf("%x", sha256.Sum256([]byte(key))))
}

// ownPath is the form of the files that the embedded server makes for itself: the
// directories of uploads, and at most 256 empty files for locks in a bucket.
var ownPath = regexp.MustCompile(`^data/(` + bucket + `/\.sgwtmp(/multipart(/[0-9a-f]{64}(/[0-9a-f-]{36}(\.[0-9a-f-]+\.inprogress)?(/[0-9]+)?)?)?)?` +
	`|\.vgwlocks(/[0-9a-f]{64}(/[0-9a-f]{2})?)?)$`)

// outside gives the files of the host, but for the inmate's prefix and the server's
// directories of uploads that are not the victim's.
func (p *prison) outside(t testing.TB) map[string]string {
	t.Helper()
	out := make(map[string]string)
	err := filepath.WalkDir(hostDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(hostDir, path)
		switch {
		case rel == filepath.Join("data", bucket, inmate) && d.IsDir():
			return fs.SkipDir
		case strings.HasPrefix(rel, uploadsDir(victim+"hot/upload")):
		case ownPath.MatchString(rel):
			return nil
		}
		content := "directory"
		if !d.IsDir() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			content = string(b)
		}
		out[rel] = content
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// ask sends one request of the sandbox and checks that the answer tells nothing from
// outside its prefix.
func (p *prison) ask(t testing.TB, method, target, source, body string) int {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/", strings.NewReader(body))
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return 0 // net/http answers such a request itself
	}
	r.Method, r.URL, r.RequestURI = method, u, target
	if source != "" {
		r.Header.Set("X-Amz-Copy-Source", source)
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	var answer bytes.Buffer
	w.Header().Write(&answer)
	answer.Write(w.Body.Bytes())
	for _, s := range p.secrets {
		if strings.Contains(answer.String(), s) {
			t.Errorf("%s %q (copy source %q) reads what is outside: %d %s", method, target, source, w.Code, &answer)
		}
	}
	return w.Code
}

// check looks at all that is outside the prefix.
func (p *prison) check(t testing.TB, asked string) {
	t.Helper()
	if after := p.outside(t); !maps.Equal(after, p.before) {
		t.Errorf("%s changes what is outside: %s", asked, difference(p.before, after))
		p.before = after
	}
}

func difference(before, after map[string]string) string {
	var out []string
	for path := range before {
		if _, ok := after[path]; !ok {
			out = append(out, "removed "+path)
		}
	}
	for path, content := range after {
		if old, ok := before[path]; !ok {
			out = append(out, "made "+path)
		} else if old != content {
			out = append(out, "changed "+path)
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// ways lead from a directory of an upload, of a key, or of the bucket to what is outside,
// in the encodings that a store might decode once more.
func ways() []string {
	var out []string
	for _, way := range []string{
		"", ".", "..", "/", "../..", "../../..",
		"../../../" + victim + "hot", "../../../" + victim + "hot/secret", "../../../" + victim + "hot/empty",
		"../../../../../host", "../../../../../host/empty", "../host",
		"../" + fmt.Sprintf("%x", sha256.Sum256([]byte(victim+"hot/upload"))),
		"../../../" + inmate + "hot", "x/../../../../" + victim + "hot",
		"..\x00", "../.", "../victim/hot/secret", "../../top", victim, victim + "hot/secret", "users/",
		hostDir + "/host", "/" + bucket + "/" + victim + "hot/secret",
	} {
		out = append(out, way, strings.ReplaceAll(way, "/", `\`), strings.ReplaceAll(way, "..", "%2e%2e"), strings.ReplaceAll(way, "/", "%2f"))
	}
	return out
}

// Each operation, each of its parameters, and the key and the copy source take each way.
func TestNoParameterLeadsOutOfThePrefix(t *testing.T) {
	p := newPrison(t)
	at := "/" + bucket + "/"
	complete := `<CompleteMultipartUpload><Part><ETag>"900150983cd24fb0d6963f7d28e17f72"</ETag><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>`
	usual := map[string]string{"uploadId": p.upload, "partNumber": "1", "prefix": inmate, "list-type": "2", "uploads": ""}
	for _, op := range operations {
		key := ""
		if op.object {
			key = inmate + "hot/upload"
		}
		query := url.Values{}
		for _, name := range op.need {
			query.Set(name, usual[name])
		}
		for _, way := range ways() {
			for _, name := range slices.Concat(op.need, op.may, []string{"versionId"}) {
				q := maps.Clone(query)
				q.Set(name, way)
				p.ask(t, op.method, at+escape(key)+"?"+q.Encode(), "", complete)
				if name == "prefix" {
					q.Set(name, inmate+way)
					p.ask(t, op.method, at+escape(key)+"?"+q.Encode(), "", complete)
				}
			}
			if op.object {
				p.ask(t, op.method, at+escape(inmate+way)+"?"+query.Encode(), "", complete)
				p.ask(t, op.method, at+inmate+way+"?"+query.Encode(), "", complete)
			}
			if op.copies {
				for _, source := range []string{at + inmate + way, at + escape(inmate+way), at + inmate + "hot/mine?versionId=" + way, at + inmate + "hot/mine%3FversionId=" + way} {
					p.ask(t, op.method, at+key+"?"+query.Encode(), source, "")
				}
			}
			p.check(t, fmt.Sprintf("%s with %q", op.name, way))
		}
	}
	if code := p.ask(t, "GET", at+inmate+"hot/upload?uploadId="+p.upload, "", ""); code != http.StatusOK && code != http.StatusNotFound {
		t.Errorf("the sandbox's own upload: %d", code)
	}
}

// For each request of a sandbox, all that is outside its prefix stays as it is and unread.
func FuzzNothingOutsideThePrefixIsReached(f *testing.F) {
	p := newPrison(f)
	at := "/" + bucket + "/"
	methods := []string{"GET", "HEAD", "PUT", "POST", "DELETE"}
	for n := range methods {
		m := byte(n)
		f.Add(m, at+inmate+"hot/upload?uploadId=../../../"+victim+"hot", "", "x")
		f.Add(m, at+inmate+"hot/upload?uploadId=../../../"+victim+"hot&partNumber=1", at+inmate+"hot/mine", "")
		f.Add(m, at+inmate+"hot/upload?uploads&prefix="+inmate, at+victim+"hot/secret", "x")
		f.Add(m, "/"+bucket+"?list-type=2&prefix="+inmate+"../victim/&start-after=../", "", "")
		f.Add(m, "/"+bucket+"?delete", "", "<Delete><Object><Key>"+victim+"hot/secret</Key></Object></Delete>")
		f.Add(m, at+inmate+"%2e%2e/victim/hot/secret?versionId=..", at+inmate+"a?versionId=../..", "")
		f.Add(m, at+inmate+"..;/victim//hot/./secret", at+inmate+"hot/mine%3FversionId=", "")
	}
	f.Fuzz(func(t *testing.T, method byte, target, source, body string) {
		p.ask(t, methods[int(method)%len(methods)], target, source, body)
		p.check(t, "the request")
	})
}
