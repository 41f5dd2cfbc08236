package ignore

// byteSet is a set of bytes.
type byteSet [4]uint64

func (s *byteSet) has(c byte) bool { return s[c>>6]>>(c&63)&1 != 0 }
func (s *byteSet) add(c byte)      { s[c>>6] |= 1 << (c & 63) }

func (s *byteSet) addRange(from, to byte) {
	for c := int(from); c <= int(to); c++ {
		s.add(byte(c))
	}
}

// bracket reads the expression that p begins with, "[...]" (gitignore(5), fnmatch(3)),
// and says how long it is. The set never has the slash: a bracket does not cross
// directories.
func bracket(p string) (*byteSet, int, error) {
	var set byteSet
	i := 1
	negated := i < len(p) && (p[i] == '!' || p[i] == '^')
	if negated {
		i++
	}
	prev := -1 // the byte before, from which a range may start
	for first := true; ; first = false {
		if i >= len(p) {
			return nil, 0, errBracket
		}
		if p[i] == ']' && !first {
			break
		}
		n, next, err := item(p[i:], prev, &set)
		if err != nil {
			return nil, 0, err
		}
		i += n
		prev = next
	}
	if negated {
		for w := range set {
			set[w] = ^set[w]
		}
	}
	set['/'>>6] &^= 1 << ('/' & 63)
	return &set, i + 1, nil
}

// item reads one byte, the end of a range or a class, and gives the byte from which a
// range may start then, or -1.
func item(p string, prev int, set *byteSet) (n, next int, err error) {
	switch {
	case p[0] == '-' && prev >= 0 && len(p) > 1 && p[1] != ']':
		n = 1
		if p[n] == '\\' {
			n++
		}
		if n >= len(p) {
			return 0, 0, errBracket
		}
		set.addRange(byte(prev), p[n])
		return n + 1, -1, nil
	case p[0] == '\\':
		if len(p) < 2 {
			return 0, 0, errBracket
		}
		set.add(p[1])
		return 2, int(p[1]), nil
	case p[0] == '[' && len(p) > 1 && p[1] == ':':
		return named(p, set)
	}
	set.add(p[0])
	return 1, int(p[0]), nil
}

// named reads "[:alpha:]". What ends otherwise is no class, and its "[" a plain byte.
func named(p string, set *byteSet) (n, next int, err error) {
	end := 2
	for end < len(p) && p[end] != ']' {
		end++
	}
	if end == len(p) {
		return 0, 0, errBracket
	}
	if end == 2 || p[end-1] != ':' {
		set.add('[')
		return 1, '[', nil
	}
	is := classOf(p[2 : end-1])
	if is == nil {
		return 0, 0, errBracket
	}
	for c := range byte(0x80) {
		if is(c) {
			set.add(c)
		}
	}
	return end + 1, -1, nil
}

// classOf is git's idea of the classes of ctype(3): ASCII in every locale, and
// spaces without vertical tab and form feed.
func classOf(name string) func(byte) bool {
	switch name {
	case "alnum":
		return func(c byte) bool { return isAlpha(c) || isDigit(c) }
	case "alpha":
		return isAlpha
	case "blank":
		return func(c byte) bool { return c == ' ' || c == '\t' }
	case "cntrl":
		return func(c byte) bool { return c < 0x20 || c == 0x7f }
	case "digit":
		return isDigit
	case "graph":
		return func(c byte) bool { return c > 0x20 && c < 0x7f }
	case "lower":
		return func(c byte) bool { return c >= 'a' && c <= 'z' }
	case "print":
		return func(c byte) bool { return c >= 0x20 && c < 0x7f }
	case "punct":
		return func(c byte) bool { return c > 0x20 && c < 0x7f && !isAlpha(c) && !isDigit(c) }
	case "space":
		return func(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
	case "upper":
		return func(c byte) bool { return c >= 'A' && c <= 'Z' }
	case "xdigit":
		return func(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }
	}
	return nil
}

func isAlpha(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
