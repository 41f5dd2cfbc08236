package config

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Parsers of single values. Each error says what is allowed; the caller adds the
// variable and the value.

const identifierForm = "letters, digits, '.', '_' and '-', up to 128, the first a letter or a digit"

// identifier is the form of USER_ID and SANDBOX_ID: [A-Za-z0-9][A-Za-z0-9._-]{0,127}.
// It keeps a workspace's prefix from reaching into another's.
func identifier(s string) error {
	if s == "" || len(s) > 128 || !alphanumeric(s[0]) {
		return errors.New("must be " + identifierForm)
	}
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && c != '.' && c != '_' && c != '-' {
			return errors.New("must be " + identifierForm)
		}
	}
	return nil
}

// instance is the form of INSTANCE: 16 random bytes in hexadecimal.
func instance(s string) error {
	if len(s) != 32 || strings.Trim(s, "0123456789abcdef") != "" {
		return errors.New("must be 32 hexadecimal digits in lower case, such as openssl rand -hex 16 makes")
	}
	return nil
}

func alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// absolute takes an absolute path that is not the root directory.
func absolute(s string) (string, error) {
	if !filepath.IsAbs(s) || len(s) > maxText || strings.ContainsRune(s, 0) || !utf8.ValidString(s) {
		return "", fmt.Errorf("must be an absolute path of UTF-8, up to %d bytes", maxText)
	}
	if s = filepath.Clean(s); s == "/" {
		return "", errors.New("must not be the root directory")
	}
	return s, nil
}

// within says whether path is dir or lies below it. Both are clean.
func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, dir+"/")
}

func integer(s string, low, high int64) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("must be a whole number from %d to %d", low, high)
	}
	return n, nil
}

func duration(s string, unit time.Duration, low, high int64) (time.Duration, error) {
	n, err := integer(s, low, high)
	return time.Duration(n) * unit, err
}

func boolean(s string) (bool, error) {
	switch s {
	case "1", "true":
		return true, nil
	case "0", "false":
		return false, nil
	}
	return false, errors.New("must be 1, true, 0 or false")
}

// signal takes a name with or without SIG, SIGRTMIN+n as docker does, or a number.
func signal(s string) (syscall.Signal, error) {
	refused := errors.New("must be a signal that can end a process: a name such as TERM, SIGINT or RTMIN+3, or a number from 1 to 64")
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	n, err := strconv.Atoi(name)
	if err != nil {
		const rtmin, rtmax = 34, 64 // signal(7); glibc keeps 32 and 33 for itself
		if plus, ok := strings.CutPrefix(name, "RTMIN+"); ok {
			if n, err = strconv.Atoi(plus); err != nil || n < 0 || n > rtmax-rtmin {
				return 0, refused
			}
			n += rtmin
		} else {
			n = int(unix.SignalNum("SIG" + name))
		}
	}
	switch sig := syscall.Signal(n); sig {
	case unix.SIGSTOP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGCONT, unix.SIGCHLD:
		return 0, refused
	default:
		if n < 1 || n > 64 {
			return 0, refused
		}
		return sig, nil
	}
}

// bucket is wider than S3's rule for new buckets, since older buckets and other
// stores have capitals, underscores and longer names.
func bucket(s string) error {
	const form = "must be a bucket's name: 3 to 255 letters, digits, '.', '_' and '-', the first a letter or a digit"
	if len(s) < 3 || len(s) > 255 || !alphanumeric(s[0]) {
		return errors.New(form)
	}
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && c != '.' && c != '_' && c != '-' {
			return errors.New(form)
		}
	}
	return nil
}

func region(s string) error {
	if len(s) > 64 {
		return errors.New("must be a region's name such as eu-central-1")
	}
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && c != '-' {
			return errors.New("must be a region's name such as eu-central-1")
		}
	}
	return nil
}

// endpoint is empty, http(s)://HOST[:PORT][/PATH] or unix:///PATH.
func endpoint(s string) error {
	form := errors.New("must be empty for AWS, http://HOST[:PORT], https://HOST[:PORT] or unix:///PATH")
	u, err := url.Parse(s)
	if err != nil || len(s) > maxText || !utf8.ValidString(s) || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery {
		return form
	}
	switch u.Scheme {
	case "http", "https":
		if u.Hostname() == "" {
			return form
		}
	case "unix":
		// A socket's address holds 107 bytes and a NUL (unix(7)).
		if u.Host != "" || !filepath.IsAbs(u.Path) || u.Path == "/" || len(u.Path) > 107 {
			return form
		}
	default:
		return form
	}
	return nil
}

// prefix stands in front of USER_ID in every key.
func prefix(s string) error {
	form := errors.New("must be empty, or names that each end in '/', such as users/ or team/users/, without empty names, '.' and '..', up to 256 bytes")
	if s == "" {
		return nil
	}
	if len(s) > 256 || !strings.HasSuffix(s, "/") {
		return form
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(s, "/"), "/") {
		if name == "" || name == "." || name == ".." || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\ufffd' }) {
			return form
		}
	}
	return nil
}

// patterns are comma-separated; blanks around each are dropped.
func patterns(s string) ([]string, error) {
	list := []string{}
	for p := range strings.SplitSeq(s, ",") {
		p = strings.TrimSpace(p)
		if strings.ContainsAny(p, "\x00\n\r") || !utf8.ValidString(p) {
			return nil, errors.New("must be gitignore patterns of UTF-8 separated by commas, in one line")
		}
		if p != "" {
			list = append(list, p)
		}
	}
	if len(s) > maxExclude {
		return nil, fmt.Errorf("must be at most %d bytes; write longer lists into .sandboxignore in the home", maxExclude)
	}
	return list, nil
}

// These keep the configuration, in JSON that may take six bytes for one, within one
// packet to the storage process (wire.MaxPacket).
const (
	maxText    = 512
	maxExclude = 4 << 10
)
