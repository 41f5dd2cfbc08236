package execapi

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
)

// FrameType says what a frame carries.
type FrameType byte

// What the server sends.
const (
	FrameStarted FrameType = iota + 1 // Exec
	FrameStdout                       // bytes; of a terminal all are
	FrameStderr                       // bytes
	FrameGap                          // Gap
	FrameCredit                       // so many more bytes of standard input may be sent: 4 bytes, big-endian
	FrameFinal                        // Final; the last
	FrameChange                       // Change, of a watch
)

// What the client sends.
const (
	FrameStdin    FrameType = iota + 32 // bytes
	FrameStdinEnd                       // nothing: the process reads the end
	FrameSignal                         // one byte, the signal's number; to the process group of the exec
	FrameResize                         // Size
	FrameDetach                         // nothing: the client leaves, and the exec goes on
)

// A frame is its type, the length of its payload in three bytes, big-endian, and the payload.
const (
	frameHeader = 4
	MaxPayload  = 64 << 10
)

// Frame is one frame. Its payload is valid until the next one is read.
type Frame struct {
	Type    FrameType
	Payload []byte
}

// JSON reads the payload as a value.
func (f Frame) JSON(into any) error {
	if err := json.Unmarshal(f.Payload, into); err != nil {
		return fmt.Errorf("a frame of type %d is not understood: %w", f.Type, err)
	}
	return nil
}

// FrameReader reads frames.
type FrameReader struct {
	r   *bufio.Reader
	buf []byte
}

// NewFrameReader reads from r.
func NewFrameReader(r *bufio.Reader) *FrameReader { return &FrameReader{r: r} }

// Next reads a frame. io.EOF: the stream has ended between two frames.
func (r *FrameReader) Next() (Frame, error) {
	var header [frameHeader]byte
	if _, err := io.ReadFull(r.r, header[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("a frame ends too early: %w", err)
		}
		return Frame{}, err
	}
	size := int(binary.BigEndian.Uint32(header[:]) & 0xffffff)
	if size > MaxPayload {
		return Frame{}, fmt.Errorf("a frame of type %d has %d bytes; at most %d are allowed", header[0], size, MaxPayload)
	}
	if cap(r.buf) < size {
		r.buf = make([]byte, size)
	}
	payload := r.buf[:size]
	if _, err := io.ReadFull(r.r, payload); err != nil {
		return Frame{}, fmt.Errorf("a frame ends too early: %w", io.ErrUnexpectedEOF)
	}
	return Frame{FrameType(header[0]), payload}, nil
}

// WriteFrame writes a frame in one call where w can (writev(2)). The payload has at most MaxPayload bytes.
func WriteFrame(w io.Writer, t FrameType, payload []byte) error {
	if len(payload) > MaxPayload {
		return fmt.Errorf("a frame of %d bytes cannot be sent: at most %d are allowed", len(payload), MaxPayload)
	}
	var header [frameHeader]byte
	binary.BigEndian.PutUint32(header[:], uint32(t)<<24|uint32(len(payload)))
	buffers := net.Buffers{header[:], payload}
	_, err := buffers.WriteTo(w)
	return err
}

// WriteJSON writes a frame of a value.
func WriteJSON(w io.Writer, t FrameType, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("cannot encode a frame: %w", err)
	}
	return WriteFrame(w, t, b)
}
