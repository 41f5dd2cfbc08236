package objectstore

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
)

// network is an attempt without a response.
func (s *sender) network(r *request, err error) *Error {
	_, noName := errors.AsType[*net.DNSError](err)
	switch next := s.networkOutcome(err); {
	case noName && next == few:
		e := s.fail(r, ErrEndpoint, err)
		e.Hint = s.nameHint()
		return e
	case next == final:
		e := s.fail(r, ErrEndpoint, err)
		e.Hint = fmt.Sprintf("check S3_ENDPOINT (%s), and the certificates of the system or AWS_CA_BUNDLE%s", s.endpoint.Name, s.pathStyleHint())
		return e
	}
	e := s.fail(r, ErrUnavailable, err)
	e.Hint = fmt.Sprintf("check that %s can be reached", s.endpoint.Name)
	return e
}

// nameHint says what mends a name that does not resolve.
func (s *sender) nameHint() string {
	if s.endpoint.AWS {
		return fmt.Sprintf("check S3_REGION=%q and the resolver of this machine", s.options.S3.Region)
	}
	return fmt.Sprintf("check S3_ENDPOINT (%s)%s", s.endpoint.Name, s.pathStyleHint())
}

// pathStyleHint is what a store that keeps no host name for each bucket needs.
func (s *sender) pathStyleHint() string {
	if s.endpoint.AWS || s.endpoint.Base != "/" {
		return ""
	}
	return fmt.Sprintf(", or set S3_FORCE_PATH_STYLE=1 if the store has no host name %s", s.endpoint.Host)
}

// networkOutcome: what the other end is does not change by asking again, and neither does a name that
// does not exist, as long as the store has never answered; all else may.
func (s *sender) networkOutcome(err error) outcome {
	var (
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		record  tls.RecordHeaderError
		name    *net.DNSError
	)
	if errors.As(err, &unknown) || errors.As(err, &host) || errors.As(err, &invalid) || errors.As(err, &record) {
		return final
	}
	if errors.As(err, &name) && name.IsNotFound && !s.answered.Load() {
		return few
	}
	return again
}
