package rawclient

import (
	"context"
	"encoding/xml"
	"net/url"
	"strings"
)

// Entry is one key of a listing.
type Entry struct {
	Key  string
	Size int64
	ETag string
}

// List gives all keys that begin with prefix, page after page.
func (c *Client) List(ctx context.Context, prefix string) ([]Entry, error) {
	var all []Entry
	for token := ""; ; {
		q := "list-type=2&prefix=" + strings.ReplaceAll(url.QueryEscape(prefix), "+", "%20")
		if token != "" {
			q = "continuation-token=" + strings.ReplaceAll(url.QueryEscape(token), "+", "%20") + "&" + q
		}
		resp, err := c.do(ctx, "GET", "", q, nil, nil, 0)
		if err != nil {
			return nil, err
		}
		var page struct {
			Contents              []Entry
			IsTruncated           bool
			NextContinuationToken string
		}
		err = xml.NewDecoder(resp.Body).Decode(&page)
		resp.Body.Close()
		if err != nil {
			return nil, err
		}
		all = append(all, page.Contents...)
		if !page.IsTruncated {
			return all, nil
		}
		token = page.NextContinuationToken
	}
}
