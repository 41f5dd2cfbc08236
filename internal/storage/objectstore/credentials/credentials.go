package credentials

import (
	"context"
	"fmt"
	"time"

	"github.com/matrx/sandbox/internal/storage/objectstore/protocol"
)

// Credentials sign requests.
type Credentials struct {
	AccessKey, Secret, Token string

	Expires time.Time // zero: not known to end
	Renew   time.Time // when to ask the source again; zero: when the server refuses them
}

// Anonymous requests are not signed: the other end of a unix socket signs them.
func (c *Credentials) Anonymous() bool { return c.AccessKey == "" }

// Key is what signs.
func (c *Credentials) Key() protocol.Key {
	return protocol.Key{ID: c.AccessKey, Secret: c.Secret, Token: c.Token}
}

// same says that both sign alike.
func (c *Credentials) same(d *Credentials) bool {
	return c.AccessKey == d.AccessKey && c.Secret == d.Secret && c.Token == d.Token
}

// Source is one place that credentials come from.
type Source interface {
	Read(ctx context.Context) (Credentials, error) // asks it anew; never two at a time
	String() string                                // for messages: the profile "default" of ...
}

// Error is a source that could not be read.
type Error struct {
	From    string
	Err     error
	Hint    string
	Outlook Outlook
}

// Outlook says whether another attempt to read a source may do.
type Outlook int

const (
	Lasts   Outlook = iota // the same attempt would fail again
	MayPass                // it may be chance, or a mistake: worth a few attempts
	Passes                 // the service did not answer, or asks for patience
)

func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.From, e.Err) }
func (e *Error) Unwrap() error { return e.Err }
