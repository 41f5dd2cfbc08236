package cache

// changes says in which blocks content differs from the version of an object that it is based on, so that
// an upload need not send the others.
type changes struct {
	limit  int64 // from here on everything differs
	blocks bitmap
}

func noChanges(size int64) *changes { return &changes{limit: size, blocks: newBitmap(blocks(size))} }

// note marks a range as changed.
func (c *changes) note(off, end int64) {
	if c == nil {
		return
	}
	for i := off / BlockSize; i < blocks(min(end, c.limit)); i++ {
		c.blocks.set(i)
	}
}

func (c *changes) truncate(size int64) {
	if c != nil {
		c.limit = min(c.limit, size)
	}
}

// ranges lists what differs below the limit, and as the last what is beyond it.
func (c *changes) ranges(size int64) []Range {
	var all []Range
	last := blocks(c.limit)
	for i := int64(0); i < last; i++ {
		if i%64 == 0 && c.blocks[i/64] == 0 {
			i += 63 // most of a large file has not changed
			continue
		}
		if !c.blocks.get(i) {
			continue
		}
		j := i + 1
		for j < last && c.blocks.get(j) {
			j++
		}
		all = append(all, Range{i * BlockSize, min(j*BlockSize, c.limit)})
		i = j
	}
	if c.limit < size {
		all = append(all, Range{c.limit, size})
	}
	return all
}

// noteChange marks a range as changed since the version that the content is based on, and since the
// snapshot that is out. With wr.
func (f *File) noteChange(off, end int64) {
	f.changes.note(off, end)
	if f.snap != nil {
		f.snap.changes.note(off, end)
	}
}

// noteTruncate is noteChange for everything from size on.
func (f *File) noteTruncate(size int64) {
	f.changes.truncate(size)
	if f.snap != nil {
		f.snap.changes.truncate(size)
	}
}

// Changed is where the content differs from the version that it is based on; ok is false when that is not
// known: it is based on none, or an earlier process changed it.
func (f *File) Changed() (ranges []Range, ok bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	f.wr.Lock()
	defer f.wr.Unlock()
	if f.changes == nil {
		return nil, false
	}
	return f.changes.ranges(f.size.Load()), true
}
