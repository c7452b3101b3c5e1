package watch

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/clusterdns/clusterdns/watch/object"
)

// A list in protobuf is read object by object, as it arrives. Decoded as a whole, its body, all decoded objects and what
// is kept of them would be in memory at once: several times what the cluster takes afterwards.
//
// The body is object.Magic and a message Unknown (k8s.io/apimachinery/pkg/runtime), whose field raw is the list. All lists have
// a field metadata, and a field items for each object.

// Numbers of fields of an Unknown, and of a list.
const (
	unknownTypeMeta = 1
	unknownRaw      = 2
	unknownLast     = 4
	listMetadata    = 1
	listItems       = 2
)

// maxMessage is how many octets an object of a list may take, so that a number in a broken one does not take all memory.
// etcd stores up to 1.5 MiB, or some more where it is told to.
const maxMessage = 32 << 20

// listReader reads a list. left is how many octets follow of the message that is being read.
type listReader struct {
	from    *bufio.Reader
	left    int64
	message []byte
}

// field is the head of a field. Its value follows: size octets.
type field struct {
	number    uint64
	delimited bool // it is a message, or a text
	size      int64
}

// readList calls each with every object of a list of a kind; the octets are each's until it returns. A list is known to
// be whole when readList has returned without an error.
func readList(from *bufio.Reader, kind string, each func(message []byte) error) (m metav1.ListMeta, err error) {
	r := &listReader{from: from, left: math.MaxInt64}
	head, err := r.from.Peek(len(object.Magic))
	if err != nil || string(head) != object.Magic {
		return m, errors.New("what was sent is no message of Kubernetes in protobuf")
	}
	_, _ = r.from.Discard(len(object.Magic))
	var is runtime.TypeMeta
	for found := false; ; {
		if _, err := r.from.Peek(1); err == io.EOF && found {
			return m, nil
		}
		f, err := r.field()
		switch {
		case err != nil:
		case f.number == unknownTypeMeta:
			err = r.value(f, is.Unmarshal)
		case f.number != unknownRaw && (f.delimited || f.number > unknownLast):
			err = r.skip(f)
		case found || !f.delimited || is.Kind != kind:
			err = fmt.Errorf("the message is a %q, or two of them, instead of a %s", is.Kind, kind)
		default:
			found = true
			m, err = r.list(f.size, each)
		}
		if err != nil {
			return m, fmt.Errorf("the list cannot be read: %w", err)
		}
	}
}

// list reads the list itself.
func (r *listReader) list(size int64, each func(message []byte) error) (m metav1.ListMeta, err error) {
	for r.left = size; r.left > 0 && err == nil; {
		var f field
		f, err = r.field()
		switch {
		case err != nil:
		case f.number == listMetadata:
			err = r.value(f, m.Unmarshal)
		case f.number == listItems:
			err = r.value(f, each)
		default:
			err = r.skip(f)
		}
	}
	r.left = math.MaxInt64
	return m, err
}

// field reads the head of a field.
func (r *listReader) field() (f field, err error) {
	tag, err := binary.ReadUvarint(r)
	if err != nil {
		return f, unexpected(err)
	}
	if f.number = tag >> 3; f.number == 0 || f.number > math.MaxInt32 {
		return f, errors.New("a field has no valid number")
	}
	switch tag & 7 {
	case 0: // a number is read here
		_, err = binary.ReadUvarint(r)
	case 1:
		f.size = 8
	case 2:
		f.delimited = true
		var size uint64
		size, err = binary.ReadUvarint(r)
		f.size = int64(min(size, math.MaxInt64))
	case 5:
		f.size = 4
	default:
		err = errors.New("a field has a type that Kubernetes does not use")
	}
	if err == nil && f.size > r.left {
		err = io.ErrUnexpectedEOF
	}
	return f, unexpected(err)
}

// value calls take with the value of a field that is a message.
func (r *listReader) value(f field, take func([]byte) error) error {
	if !f.delimited || f.size > maxMessage {
		return fmt.Errorf("field %d is no message, or one of %d octets", f.number, f.size)
	}
	r.message = slices.Grow(r.message[:0], int(f.size))[:f.size]
	r.left -= f.size
	if _, err := io.ReadFull(r.from, r.message); err != nil {
		return unexpected(err)
	}
	return take(r.message)
}

// skip passes over the value of a field that is not known.
func (r *listReader) skip(f field) error {
	r.left -= f.size
	_, err := io.CopyN(io.Discard, r.from, f.size)
	return unexpected(err)
}

// ReadByte implements io.ByteReader within the message.
func (r *listReader) ReadByte() (byte, error) {
	if r.left == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	r.left--
	return r.from.ReadByte()
}

// unexpected is an error of which the end of what was sent is none: it comes where more must follow.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
