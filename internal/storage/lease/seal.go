package lease

// Seal names one upload of the home's manifest of which its writer knows, at its end, that no sandbox wrote to the
// home's prefix between the moment from which on the manifest's entries were collected and its arrival, but what is
// in it. What is true of that upload stays true, so the seal passes from holder to holder, also over one
// that dies, until another manifest is sealed. The zero Seal names none.
type Seal struct {
	Manifest string `json:"manifest"` // its ETag: each manifest has another one, since it says when it was made
	Until    int64  `json:"until"`    // a bound of its Last-Modified, in seconds since the epoch: a later one was stored anew
}
