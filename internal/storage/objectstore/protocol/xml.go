package protocol

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
)

// ErrXML is the error of an answer that was cut short, or is none of S3.
var ErrXML = errors.New("the answer is no complete XML document")

// ScanXML reads a document and calls end for each element that ends, with the name of its
// parent and the character data after its last tag, still escaped (see UnescapeXML).
// Prefixes of names are cut off; attributes, comments and declarations are passed over.
//
// S3 answers with two levels of elements without attributes, thousands of them in a
// listing: encoding/xml takes some 15 ms for a page of a thousand keys, this well under one.
func ScanXML(b []byte, end func(parent, name, text []byte) error) error {
	type open struct{ name []byte }
	stack := make([]open, 0, 8)
	var text []byte
	pop := func(name []byte) error {
		top := len(stack) - 1
		if top < 0 || !bytes.Equal(stack[top].name, name) {
			return ErrXML
		}
		stack = stack[:top]
		var parent []byte
		if top > 0 {
			parent = stack[top-1].name
		}
		err := end(parent, name, text)
		text = nil
		return err
	}
	seen := false
	for {
		lt := bytes.IndexByte(b, '<')
		if lt < 0 {
			break
		}
		if lt > 0 {
			text = b[:lt]
		}
		b = b[lt:]
		switch {
		case bytes.HasPrefix(b, []byte("<!--")):
			if b = after(b[4:], "-->"); b == nil {
				return ErrXML
			}
			continue
		case bytes.HasPrefix(b, []byte("<![CDATA[")), bytes.HasPrefix(b, []byte("<!")):
			return ErrXML // no S3 answer has them
		case bytes.HasPrefix(b, []byte("<?")):
			if b = after(b[2:], "?>"); b == nil {
				return ErrXML
			}
			continue
		}
		gt := tagEnd(b)
		if gt < 0 {
			return ErrXML
		}
		tag := b[1:gt]
		b = b[gt+1:]
		if len(tag) > 0 && tag[0] == '/' {
			if err := pop(localName(bytes.TrimRight(tag[1:], " \t\r\n"))); err != nil {
				return err
			}
			continue
		}
		if len(stack) == 0 && seen || len(stack) >= 32 {
			return ErrXML
		}
		seen = true
		empty := false
		if len(tag) > 0 && tag[len(tag)-1] == '/' {
			empty, tag = true, tag[:len(tag)-1]
		}
		if i := bytes.IndexAny(tag, " \t\r\n"); i >= 0 {
			tag = tag[:i]
		}
		name := localName(tag)
		if len(name) == 0 {
			return ErrXML
		}
		stack = append(stack, open{name})
		text = nil
		if empty {
			if err := pop(name); err != nil {
				return err
			}
		}
	}
	if !seen || len(stack) != 0 {
		return ErrXML
	}
	return nil
}

// tagEnd finds the ">" of the tag that b begins with, past those in attributes.
func tagEnd(b []byte) int {
	var quote byte
	for i, c := range b {
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			return i
		}
	}
	return -1
}

func after(b []byte, sep string) []byte {
	i := bytes.Index(b, []byte(sep))
	if i < 0 {
		return nil
	}
	return b[i+len(sep):]
}

func localName(n []byte) []byte { return n[bytes.IndexByte(n, ':')+1:] }

// UnescapeXML replaces the references of character data (XML 1.0, 4.1 and 4.6). What is
// no reference stays as it is.
func UnescapeXML(text []byte) string {
	if bytes.IndexByte(text, '&') < 0 {
		return string(text)
	}
	var s strings.Builder
	s.Grow(len(text))
	for len(text) > 0 {
		i := bytes.IndexByte(text, '&')
		if i < 0 {
			s.Write(text)
			break
		}
		s.Write(text[:i])
		text = text[i:]
		j := bytes.IndexByte(text[:min(len(text), 12)], ';')
		r, ok := rune(0), false
		if j > 0 {
			r, ok = reference(string(text[1:j]))
		}
		if !ok {
			s.WriteByte('&')
			text = text[1:]
			continue
		}
		s.WriteRune(r)
		text = text[j+1:]
	}
	return s.String()
}

func reference(name string) (rune, bool) {
	switch name {
	case "lt":
		return '<', true
	case "gt":
		return '>', true
	case "amp":
		return '&', true
	case "quot":
		return '"', true
	case "apos":
		return '\'', true
	}
	digits, ok := strings.CutPrefix(name, "#")
	if !ok {
		return 0, false
	}
	base := 10
	if h, ok := strings.CutPrefix(digits, "x"); ok {
		digits, base = h, 16
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil || n == 0 || n > 0x10ffff {
		return 0, false
	}
	return rune(n), true
}

// EscapeXML writes character data.
func EscapeXML(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\"", "&quot;").Replace(s)
}
