package objectstore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/matrx/sandbox/internal/storage/objectstore/credentials"
	"github.com/matrx/sandbox/internal/storage/objectstore/protocol"
)

// refusal makes an Error of a response that is not 2xx, or of a 200 that carries an error.
func (s *sender) refusal(ctx context.Context, r *request, resp *http.Response, body []byte, creds *credentials.Credentials, signed time.Time) (*Error, outcome, time.Duration) {
	doc, isS3 := protocol.ParseRefusal(body)
	e := s.fail(r, nil, nil)
	e.Status, e.Code, e.Message, e.RequestID = resp.StatusCode, doc.Code, doc.Message, doc.RequestID
	if e.RequestID == "" {
		e.RequestID = resp.Header.Get("X-Amz-Request-Id")
	}
	wait := retryAfter(resp.Header, s.now())

	next, kind := classify(resp.StatusCode, doc.Code)
	region := resp.Header.Get("X-Amz-Bucket-Region")
	if region == "" {
		region = doc.Region
	}
	switch {
	case region != "" && region != s.options.S3.Region && (errors.Is(kind, ErrWrongRegion) || errors.Is(kind, ErrBadCredentials) || errors.Is(kind, ErrInvalid) ||
		resp.StatusCode == http.StatusTemporaryRedirect):
		kind, next = ErrWrongRegion, final
		e.Hint = fmt.Sprintf("set S3_REGION=%s (it is %q)", region, s.options.S3.Region)
	case !isS3 && redirects(resp.StatusCode) && resp.Header.Get("Location") != "":
		kind, next = ErrEndpoint, final
		e.Hint = fmt.Sprintf("what answers at %s sends requests on to %q: set S3_ENDPOINT to the address of the store itself", s.endpoint.Name, resp.Header.Get("Location"))
	case !isS3 && r.method != http.MethodHead && next == final && !errors.Is(kind, ErrPrecondition) && !errors.Is(kind, ErrAccessDenied):
		kind = ErrEndpoint
		e.Message = text(body)
		e.Hint = fmt.Sprintf("what answers at %s does not speak S3: check S3_ENDPOINT", s.endpoint.Name)
	case errors.Is(kind, ErrNotFound) && r.key == "":
		kind = ErrNoBucket
	}
	switch {
	case errors.Is(kind, ErrClockSkew):
		if t := date(resp.Header, "Date"); !t.IsZero() && t.Sub(signed).Abs() > minute {
			s.adjust(t)
			next = atOnce
		}
	case errors.Is(kind, ErrExpiredCredentials), errors.Is(kind, ErrBadCredentials):
		switch renewed, err := s.keys.Refused(ctx, creds); {
		case renewed:
			next = atOnce
		case err != nil:
			e.err, next = err, credentialsOutcome(err)
		}
	}
	e.kind = kind
	if e.Hint == "" {
		e.Hint = s.hint(kind)
	}
	return e, next, wait
}

// redirects says that a status sends the client elsewhere. S3 does so with a document that has a code; without one it is a
// proxy's, to https for one. Requests are not sent there: they are signed for the host that was configured.
func redirects(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// text is the beginning of an answer that is no S3 error, for a message.
func text(body []byte) string {
	t := strings.Join(strings.Fields(string(body[:min(len(body), 200)])), " ")
	return strings.ToValidUTF8(t, "?")
}

// classify reads the code, and where it says nothing (HEAD has no body) the status.
func classify(status int, code string) (outcome, error) {
	switch code {
	case "NoSuchKey", "NotFound", "NoSuchVersion":
		return final, ErrNotFound
	case "NoSuchBucket":
		return final, ErrNoBucket
	case "NoSuchUpload", "InvalidPart", "InvalidPartOrder":
		return final, errNoUpload
	case "PreconditionFailed":
		return final, ErrPrecondition
	case "ConditionalRequestConflict", "OperationAborted":
		return again, ErrUnavailable // a write at the same time: one of them is tried again
	case "AccessDenied", "AllAccessDisabled", "AccountProblem", "AccessForbidden", "MethodNotAllowed":
		return final, ErrAccessDenied
	case "InvalidObjectState":
		return final, ErrArchived
	case "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired":
		return final, ErrExpiredCredentials
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "InvalidSecurity", "NotSignedUp",
		"CredentialsNotSupported", "MissingSecurityHeader", "AuthorizationHeaderMalformed", "InvalidClientTokenId", "UnrecognizedClientException",
		"XAdminUserNotFound": // versitygw's, with status 404
		return final, ErrBadCredentials
	case "RequestTimeTooSkewed", "RequestExpired":
		return final, ErrClockSkew
	case "PermanentRedirect", "IllegalLocationConstraintException", "AuthorizationQueryParametersError":
		return final, ErrWrongRegion
	case "BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch":
		return few, ErrChecksum
	case "SlowDown", "SlowDownRead", "SlowDownWrite", "ServiceUnavailable", "Throttling", "ThrottlingException", "ThrottledException",
		"RequestThrottled", "RequestThrottledException", "TooManyRequests", "RequestLimitExceeded", "BandwidthLimitExceeded":
		return throttled, ErrUnavailable
	case "InternalError", "RequestTimeout", "RequestTimeoutException", "IncompleteBody", "TemporaryRedirect", "BadGateway", "GatewayTimeout":
		return again, ErrUnavailable
	case "EntityTooLarge":
		return final, ErrTooLarge
	case "NotImplemented":
		return final, ErrUnsupported
	}
	switch {
	case status == http.StatusNotFound && code == "":
		return final, ErrNotFound // an unknown code does not say that the object is gone
	case status == http.StatusUnauthorized:
		return final, ErrBadCredentials
	case status == http.StatusForbidden, status == http.StatusMethodNotAllowed:
		return final, ErrAccessDenied
	case status == http.StatusPreconditionFailed:
		return final, ErrPrecondition
	case status == http.StatusMovedPermanently, status == http.StatusPermanentRedirect:
		return final, ErrWrongRegion
	case status == http.StatusNotImplemented:
		return final, ErrUnsupported
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		return throttled, ErrUnavailable
	case status >= 500, status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTemporaryRedirect,
		status == http.StatusConflict && code == "":
		return again, ErrUnavailable
	case status == http.StatusConflict:
		// About the key: what it needs as a directory is an object, on stores that keep keys as
		// files. Those say the same when another request removed that directory in between.
		return few, ErrInvalid
	}
	return final, ErrInvalid
}

// hint says what mends it.
func (s *sender) hint(kind error) string {
	from := ""
	if s.keys != nil {
		from = s.keys.String()
	}
	switch {
	case errors.Is(kind, ErrArchived):
		return "restore it first (RestoreObject)"
	case errors.Is(kind, ErrAccessDenied):
		return fmt.Sprintf("check that %s may use s3:GetObject, s3:PutObject, s3:DeleteObject, s3:ListBucket, s3:AbortMultipartUpload and s3:ListMultipartUploadParts there", from)
	case errors.Is(kind, ErrNoBucket):
		return fmt.Sprintf("create it, or check S3_BUCKET=%q and S3_ENDPOINT (%s)%s", s.options.S3.Bucket, s.endpoint.Name, s.pathStyleHint())
	case errors.Is(kind, ErrWrongRegion):
		return fmt.Sprintf("check S3_REGION=%q", s.options.S3.Region)
	case errors.Is(kind, ErrExpiredCredentials):
		return "renew " + from
	case errors.Is(kind, ErrBadCredentials):
		return "check " + from
	case errors.Is(kind, ErrClockSkew):
		return "set the clock of this host"
	case errors.Is(kind, ErrUnavailable):
		return fmt.Sprintf("check %s, and try again", s.endpoint.Name)
	}
	return ""
}

// minute is well over what a Date in whole seconds and a slow answer make of the same time,
// and well below the 15 minutes that S3 allows.
const minute = time.Minute

// adjust sets our clock by the server's.
func (s *sender) adjust(server time.Time) {
	skew := time.Until(server)
	if old := time.Duration(s.skew.Swap(int64(skew))); (old - skew).Abs() > minute {
		s.log.Warn("the clock differs from the store's; signing by the store's", "event", "s3_clock_skew", "skew_seconds", int64(skew/time.Second))
	}
}

// retryAfter is the wait that the server asks for (RFC 9110, 10.2.3), at most a minute.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if v == "" {
		return 0
	}
	d := time.Duration(0)
	if n, err := strconv.Atoi(v); err == nil {
		d = time.Duration(n) * time.Second
	} else if t, err := http.ParseTime(v); err == nil {
		d = t.Sub(now)
	}
	return min(max(d, 0), time.Minute)
}
