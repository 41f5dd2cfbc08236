package objectstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/matrx/sandbox/internal/storage/objectstore/protocol"
)

// ListOptions say what to list: the keys that begin with Prefix, after StartAfter and
// before EndAt.
type ListOptions struct {
	Prefix     string
	StartAfter string // exclusive
	EndAt      string // exclusive; "" is the end
	Delimiter  string // keys that go on after it are summed up as one Entry.Prefix
	MaxKeys    int    // a page; 0: the store's, 1,000
}

// List gives the entries in the order of their keys as bytes. Pages are asked for one ahead.
// An error ends the listing; what came before it is good, and is not all.
func (s *Store) List(ctx context.Context, o ListOptions) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		asked := ctx
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		pages := make(chan page, 1)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			defer close(pages)
			s.pages(ctx, o, pages)
		}()
		defer func() { cancel(); <-ended }()
		for p := range pages {
			for _, e := range p.entries {
				if !yield(e, nil) {
					return
				}
			}
			if p.err != nil {
				yield(Entry{}, p.err)
				return
			}
		}
		// The page with the error is dropped when ctx has ended: without this, a listing that
		// was broken off would look like a whole one.
		if asked.Err() != nil {
			yield(Entry{}, s.fail(&request{verb: verbList, subject: o.Prefix}, ErrUnavailable, context.Cause(asked)))
		}
	}
}

type page struct {
	entries   []Entry
	next      string
	truncated bool
	err       error
}

// pages sends page after page until the last, an error, or the end of ctx.
func (s *Store) pages(ctx context.Context, o ListOptions, out chan<- page) {
	token, last := "", ""
	for {
		p := s.page(ctx, o, token)
		if p.err == nil && p.truncated && p.next == "" {
			p.err = s.fail(&request{verb: verbList, subject: o.Prefix}, ErrEndpoint, errors.New("the listing goes on, and does not say where"))
		}
		if len(p.entries) > 0 && p.entries[0].Prefix != "" && p.entries[0].Prefix == last {
			p.entries = p.entries[1:] // some stores begin a page with the prefix that ended the one before
		}
		if p.err == nil && !ascends(last, p.entries) {
			// A caller that compares a listing with its journal would take a key out of order for deleted.
			p.err = s.fail(&request{verb: verbList, subject: o.Prefix}, ErrUnsupported, errors.New("the store lists its keys in no order"))
			p.entries = nil
		}
		if n := len(p.entries); n > 0 {
			last = p.entries[n-1].name()
		}
		for i, e := range p.entries {
			if o.EndAt != "" && e.name() >= o.EndAt {
				p.entries, p.truncated = p.entries[:i], false
				break
			}
		}
		select {
		case out <- p:
		case <-ctx.Done():
			return
		}
		if p.err != nil || !p.truncated {
			return
		}
		token = p.next
	}
}

func (e *Entry) name() string { return e.Key + e.Prefix }

// ascends says that names follow each other, and last.
func ascends(last string, entries []Entry) bool {
	for i := range entries {
		n := entries[i].name()
		if n <= last {
			return false
		}
		last = n
	}
	return true
}

// page asks for one page.
func (s *Store) page(ctx context.Context, o ListOptions, token string) (p page) {
	r := &request{verb: verbList, method: http.MethodGet, subject: o.Prefix}
	var q strings.Builder
	add := func(name, value string) {
		if value != "" {
			if q.Len() > 0 {
				q.WriteByte('&')
			}
			q.WriteString(name + "=" + protocol.EscapeQuery(value))
		}
	}
	// In the order of the signature's canonical form.
	add("continuation-token", token)
	add("delimiter", o.Delimiter)
	add("encoding-type", "url")
	add("list-type", "2")
	if o.MaxKeys > 0 {
		add("max-keys", strconv.Itoa(o.MaxKeys))
	}
	add("prefix", o.Prefix)
	add("start-after", o.StartAfter)
	r.query = q.String()
	r.document = func(b []byte) (err error) {
		p, err = parsePage(b, o.Prefix)
		return err
	}
	if _, err := s.do(ctx, r); err != nil {
		return page{err: err}
	}
	return p
}

// parsePage reads a ListBucketResult ("ListObjectsV2").
func parsePage(b []byte, prefix string) (p page, err error) {
	var cur Entry
	encoded, root := false, false
	err = protocol.ScanXML(b, func(parent, name, text []byte) (err error) {
		switch string(parent) {
		case "Contents":
			switch string(name) {
			case "Key":
				cur.Key = protocol.UnescapeXML(text)
			case "ETag":
				cur.ETag = bare(protocol.UnescapeXML(text))
			case "Size":
				cur.Size, err = strconv.ParseInt(string(text), 10, 64)
			case "LastModified":
				cur.LastModified, err = time.Parse(time.RFC3339, string(text))
				cur.LastModified = cur.LastModified.Truncate(time.Second) // as HEAD has it
			}
		case "CommonPrefixes":
			if string(name) == "Prefix" {
				cur.Prefix = protocol.UnescapeXML(text)
			}
		case "ListBucketResult":
			switch string(name) {
			case "Contents", "CommonPrefixes":
				p.entries = append(p.entries, cur)
				cur = Entry{}
			case "IsTruncated":
				p.truncated, err = strconv.ParseBool(string(text))
			case "NextContinuationToken":
				p.next = protocol.UnescapeXML(text)
			case "EncodingType":
				encoded = string(text) == "url"
			}
		case "":
			root = string(name) == "ListBucketResult"
		}
		return err
	})
	if err != nil {
		return page{}, err
	}
	if !root {
		return page{}, fmt.Errorf("%w of a listing", protocol.ErrXML)
	}
	for i := range p.entries {
		e := &p.entries[i]
		if encoded {
			if err = decodeName(&e.Key); err == nil {
				err = decodeName(&e.Prefix)
			}
			if err != nil {
				return page{}, err
			}
		}
		if !strings.HasPrefix(e.name(), prefix) || e.name() == "" {
			return page{}, fmt.Errorf("the listing of %q has %q", prefix, e.name())
		}
	}
	sortPage(p.entries)
	return p, nil
}

// decodeName undoes encoding-type=url, in which a blank is "+" and a "+" is "%2B".
func decodeName(s *string) (err error) {
	if strings.ContainsAny(*s, "%+") {
		*s, err = url.QueryUnescape(*s)
	}
	return err
}

// sortPage merges the keys of a page with its common prefixes, which come after all of
// them: each row is in order by itself.
func sortPage(entries []Entry) {
	for i := range entries {
		if entries[i].Prefix != "" {
			slices.SortStableFunc(entries, func(a, b Entry) int { return strings.Compare(a.name(), b.name()) })
			return
		}
	}
}
