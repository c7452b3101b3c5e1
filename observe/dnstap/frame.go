package dnstap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Frame Streams (https://github.com/farsightsec/fstrm): a frame of data is its length in four octets and the data. A
// frame of control begins with a length of zero, and then has its own. Before the data the writer says READY, the reader
// ACCEPT and the writer START; after it the writer says STOP and the reader FINISH.

// contentType is what the data is.
const contentType = "protobuf:dnstap.Dnstap"

// The types of control frames, and the only field of theirs.
const (
	controlAccept = 1
	controlStart  = 2
	controlStop   = 3
	controlReady  = 4
	controlFinish = 5

	contentTypeField = 1
	mostControl      = 512 // octets of a control frame
)

// frameHead is the octets of a length.
const frameHead = 4

// control is a control frame, with the type of the content unless it ends the stream.
func control(kind uint32) []byte {
	var payload []byte
	payload = binary.BigEndian.AppendUint32(payload, kind)
	if kind != controlStop {
		payload = binary.BigEndian.AppendUint32(payload, contentTypeField)
		payload = binary.BigEndian.AppendUint32(payload, uint32(len(contentType)))
		payload = append(payload, contentType...)
	}
	head := binary.BigEndian.AppendUint32(make([]byte, frameHead), uint32(len(payload)))
	return append(head, payload...)
}

var (
	errFrame   = errors.New("what comes is no control frame of Frame Streams")
	errContent = errors.New("the sink does not take " + contentType)
)

// readControl reads a control frame, which must be of that kind.
func readControl(r io.Reader, kind uint32) error {
	var head [2 * frameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(head[frameHead:])
	if binary.BigEndian.Uint32(head[:]) != 0 || size < 4 || size > mostControl {
		return errFrame
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(r, payload); err != nil {
		return err
	}
	if got := binary.BigEndian.Uint32(payload); got != kind {
		return fmt.Errorf("the sink says %d, not %d: %w", got, kind, errFrame)
	}
	return checkContent(payload[4:])
}

// checkContent fails if the fields of a control frame name types of content, and ours is none of them.
func checkContent(fields []byte) error {
	named := false
	for len(fields) > 0 {
		if len(fields) < 8 {
			return errFrame
		}
		size := uint64(binary.BigEndian.Uint32(fields[4:]))
		if binary.BigEndian.Uint32(fields) != contentTypeField || size > uint64(len(fields)-8) {
			return errFrame
		}
		if bytes.Equal(fields[8:8+size], []byte(contentType)) {
			return nil
		}
		named, fields = true, fields[8+size:]
	}
	if named {
		return errContent
	}
	return nil
}
