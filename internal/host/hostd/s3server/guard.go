package s3server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/gofiber/fiber/v3"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"

	"github.com/matrx/sandbox/internal/host/hostd/s3grammar"
)

// The backend joins keys, upload IDs and versions to paths, and checks some of them. The
// guard is in front of it: what it admits stays in the bucket that the request names, and
// outside the directory in which the backend keeps its own files.

// ownForms are narrower than the grammars of s3grammar: this server knows the form of
// what it gave out.
var ownForms = map[string]*regexp.Regexp{
	"uploadId":          regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`), // a UUID
	"versionId":         regexp.MustCompile(`^(null|[0-9A-Za-z]{26})$`),                    // a ULID
	"version-id-marker": regexp.MustCompile(`^(null|[0-9A-Za-z]{26})?$`),
	"upload-id-marker":  regexp.MustCompile(`^[0-9a-f-]*$`),
}

// guard is the middleware that admits requests.
func guard(c fiber.Ctx) error {
	err := admit(c)
	if err == nil {
		return c.Next()
	}
	refused, ok := errors.AsType[s3err.APIError](err)
	if !ok {
		refused = s3err.APIError{Code: "InvalidArgument", Description: err.Error(), HTTPStatusCode: http.StatusBadRequest}
	}
	id, host := utils.EnsureRequestIDs(c)
	c.Response().Header.SetContentType(fiber.MIMEApplicationXML)
	return c.Status(refused.HTTPStatusCode).Send(refused.XMLBody(id, host))
}

func admit(c fiber.Ctx) error {
	switch c.Method() {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPost, http.MethodDelete:
	default: // PATCH is the server's administration, which nothing here uses
		return s3err.GetAPIError(s3err.ErrMethodNotAllowed)
	}
	// A form's fields name the key (POST Object).
	if strings.HasPrefix(strings.ToLower(c.Get(fiber.HeaderContentType)), fiber.MIMEMultipartForm) {
		return s3err.GetAPIError(s3err.ErrNotImplemented)
	}
	// The router reads the path in this form.
	path, err := url.PathUnescape(string(c.Request().URI().PathOriginal()))
	if err != nil {
		return fmt.Errorf("the path cannot be decoded: %w", err)
	}
	if _, key, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/"); key != "" {
		if err := admitKey(key); err != nil {
			return err
		}
	}
	for name, value := range c.Request().URI().QueryArgs().All() {
		if err := admitParam(string(name), string(value)); err != nil {
			return err
		}
	}
	for _, source := range c.Request().Header.PeekAll("X-Amz-Copy-Source") {
		if err := admitSource(string(source)); err != nil {
			return err
		}
	}
	return nil
}

func admitKey(key string) error {
	if err := s3grammar.Key(key); err != nil {
		return fmt.Errorf("the key %q %w", key, err)
	}
	// A list skips a directory of this name wherever it is: an object in it would be
	// stored and never be seen again.
	for segment := range strings.SplitSeq(key, "/") {
		if segment == posix.MetaTmpDir {
			return fmt.Errorf("the key %q has the segment %q, which is the server's own", key, segment)
		}
	}
	return nil
}

func admitParam(name, value string) error {
	if form := ownForms[name]; form != nil && !form.MatchString(value) {
		if name == "uploadId" {
			return s3err.GetAPIError(s3err.ErrNoSuchUpload)
		}
		return fmt.Errorf("the parameter %q: the value %q is not of this server", name, value)
	}
	return s3grammar.Param(name, value)
}

// admitSource checks the header of a copy in the form in which the backend reads it: it
// decodes first and looks for a version then, so the key "a?versionId=" would be "a".
func admitSource(header string) error {
	decoded, err := url.QueryUnescape(header)
	if err != nil {
		return fmt.Errorf("the copy source %q cannot be decoded: %w", header, err)
	}
	_, version, hasVersion := strings.Cut(header, "?")
	if version, ok := strings.CutPrefix(version, "versionId="); hasVersion && (!ok || admitParam("versionId", version) != nil) {
		return fmt.Errorf("the copy source %q has a version that is not of this server", header)
	}
	path, _, readsVersion := strings.Cut(decoded, "?versionId=")
	if readsVersion != hasVersion {
		return fmt.Errorf("the copy source %q is a key that this server cannot copy from", header)
	}
	if _, key, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/"); key != "" {
		return admitKey(key)
	}
	return nil
}

// guarded is the backend with what is admitted behind the middleware, in bodies, and with
// holes in what it stores.
type guarded struct {
	*posix.Posix
	data string // its directory
}

var _ backend.Backend = guarded{}

// DeleteObjects answers with an error for each key that is refused, as S3 does.
func (g guarded) DeleteObjects(ctx context.Context, in *s3.DeleteObjectsInput) (s3response.DeleteResult, error) {
	var admitted []types.ObjectIdentifier
	var refused []types.Error
	for _, o := range in.Delete.Objects {
		var err error
		if o.Key != nil {
			err = admitKey(*o.Key)
		}
		if err == nil && o.VersionId != nil && *o.VersionId != "" {
			err = admitParam("versionId", *o.VersionId)
		}
		if err != nil {
			message := err.Error()
			code := "InvalidArgument"
			refused = append(refused, types.Error{Key: o.Key, VersionId: o.VersionId, Code: &code, Message: &message})
			continue
		}
		admitted = append(admitted, o)
	}
	in.Delete.Objects = admitted
	result, err := g.Posix.DeleteObjects(ctx, in)
	result.Error = append(result.Error, refused...)
	return result, err
}
