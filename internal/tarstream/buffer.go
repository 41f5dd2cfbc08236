package tarstream

import "io"

// buffer is what the contents of all files of a copy pass through: each call on a file or a connection moves that much.
type buffer []byte

const bufferSize = 256 << 10

// copy is io.CopyBuffer, by a buffer that is made when it is needed first. to must not be an io.ReaderFrom.
func (b *buffer) copy(to counted, from io.Reader) (int64, error) {
	if *b == nil {
		*b = make(buffer, bufferSize)
	}
	return io.CopyBuffer(to, onlyReader{from}, *b)
}

// onlyReader hides what would choose another buffer, or none.
type onlyReader struct{ io.Reader }
