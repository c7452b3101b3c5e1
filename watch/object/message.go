package object

import (
	"errors"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Messages in protobuf are read here as the decoders that Kubernetes generates read them, but for the fields of which
// nothing is kept: those are passed over, and so is what is wrong with them. A decoder that is generated takes an allocation
// for each text, and for each entry of managedFields.

var errMessage = errors.New("the object is no message in protobuf")

// fields goes through the fields of a message. Texts of fields are parts of the message's.
type fields struct {
	rest   string
	number int32
	kind   byte   // of the wire: varint, fixed64, delimited …
	value  uint64 // of a varint
	text   string // of what is delimited
	onward string // text, and what follows it
	broken bool
}

// Kinds of fields on the wire.
const (
	varint     = 0
	fixed64    = 1
	delimited  = 2
	startGroup = 3
	endGroup   = 4
	fixed32    = 5
)

// next goes to the next field. It reports false at the end, and where the message is broken.
func (f *fields) next() bool {
	if f.rest == "" || f.broken {
		return false
	}
	tag := f.number64()
	f.number, f.kind = int32(tag>>3), byte(tag&7)
	f.broken = f.broken || f.number <= 0
	f.pass(tag)
	return !f.broken
}

// pass reads the value of a field.
func (f *fields) pass(tag uint64) {
	switch tag & 7 {
	case varint:
		f.value = f.number64()
	case fixed64:
		f.take(8)
	case delimited:
		size := f.number64()
		f.onward = f.rest
		f.text = f.take(size)
	case startGroup:
		f.group()
	case fixed32:
		f.take(4)
	default:
		f.broken = true
	}
}

// number64 reads a number of up to ten octets.
func (f *fields) number64() (n uint64) {
	for i := 0; i < len(f.rest) && i < 10; i++ {
		c := f.rest[i]
		n |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			f.rest = f.rest[i+1:]
			return n
		}
	}
	f.broken = true
	return 0
}

// take passes over count octets, and returns them.
func (f *fields) take(count uint64) (text string) {
	if count > uint64(len(f.rest)) {
		f.broken = true
		return ""
	}
	text, f.rest = f.rest[:count], f.rest[count:]
	return text
}

// group passes over a group, which nothing of Kubernetes has, to its end.
func (f *fields) group() {
	for depth := 1; depth > 0 && !f.broken; {
		switch tag := f.number64(); tag & 7 {
		case startGroup:
			depth++
		case endGroup:
			depth--
		default:
			f.pass(tag)
		}
	}
}

// string is the field's text, which it must be.
func (f *fields) string() string {
	f.broken = f.broken || f.kind != delimited
	return f.text
}

// uint is the field's number, which it must be.
func (f *fields) uint() uint64 {
	f.broken = f.broken || f.kind != varint
	return f.value
}

// message is the fields of the field, a message itself, for close once they are read. Values and no closures: a slice has
// thousands of them.
func (f *fields) message() fields { return fields{rest: f.string()} }

// close takes over what is wrong with a message within f.
func (f *fields) close(inner *fields) { f.broken = f.broken || inner.broken }

// entry reads the field, an entry of a map, into m, which is made where it is nil. As decoders that are generated do, it takes
// the key and the value for texts whatever their kind is, and lets them go on behind the end of the entry.
func (f *fields) entry(m *map[string]string) {
	size := len(f.string())
	if f.broken {
		return
	}
	if *m == nil {
		*m = map[string]string{}
	}
	var key, value string
	for inner := (fields{rest: f.onward}); len(f.onward)-len(inner.rest) < size; {
		begin := inner.rest
		switch int32(inner.number64() >> 3) {
		case 1:
			key = inner.take(inner.number64())
		case 2:
			value = inner.take(inner.number64())
		default:
			inner.rest = begin
			inner.pass(inner.number64())
			inner.broken = inner.broken || len(f.onward)-len(inner.rest) > size
		}
		if f.close(&inner); f.broken {
			return
		}
	}
	(*m)[key] = value
}

// err is what is wrong with the message.
func (f *fields) err() error {
	if f.broken {
		return errMessage
	}
	return nil
}

// metadata reads an ObjectMeta: those of its fields that are read of slices and services.
func (f *fields) metadata(m *metav1.ObjectMeta) {
	inner := f.message()
	for inner.next() {
		switch inner.number {
		case 1:
			m.Name = inner.string()
		case 3:
			m.Namespace = inner.string()
		case 6:
			m.ResourceVersion = inner.string()
		case 11:
			inner.entry(&m.Labels)
		case 12:
			inner.entry(&m.Annotations)
		}
	}
	f.close(&inner)
}

// resetMetadata empties m for another object.
func resetMetadata(m *metav1.ObjectMeta) {
	clear(m.Labels)
	clear(m.Annotations)
	*m = metav1.ObjectMeta{Labels: m.Labels, Annotations: m.Annotations}
}

// Magic is what a message of Kubernetes in protobuf begins with. Behind it is a message Unknown (k8s.io/apimachinery/pkg/runtime).
const Magic = "k8s\x00"

// Unwrap returns the object in a message of Kubernetes, and what it is. ok is false for what is none, or packed in another way
// than API servers do.
func Unwrap(message string) (version, kind, object string, ok bool) {
	f := fields{}
	if f.rest, ok = strings.CutPrefix(message, Magic); !ok {
		return "", "", "", false
	}
	for f.next() {
		switch f.number {
		case 1:
			inner := f.message()
			for inner.next() {
				switch inner.number {
				case 1:
					version = inner.string()
				case 2:
					kind = inner.string()
				}
			}
			f.close(&inner)
		case 2:
			object = f.string()
		default: // an encoding, or a type
			f.broken = f.broken || f.string() != ""
		}
	}
	return version, kind, object, !f.broken
}
