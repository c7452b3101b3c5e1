package watch

import (
	"bufio"
	"io"
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"

	"github.com/clusterdns/clusterdns/watch/object"
)

// codec is client-go's, but what a watch sends of a resource with a Reader arrives stripped: it is not decoded first. At a
// start these are all objects of a cluster, and later most of its events.
type codec struct {
	runtime.NegotiatedSerializer
	protobuf  runtime.SerializerInfo
	selection object.Selection
}

func newCodec(scheme *runtime.Scheme, selection object.Selection) *codec {
	c := &codec{NegotiatedSerializer: serializer.NewCodecFactory(scheme).WithoutConversion(), selection: selection}
	c.protobuf, _ = runtime.SerializerInfoForMediaType(c.NegotiatedSerializer.SupportedMediaTypes(), runtime.ContentTypeProtobuf)
	return c
}

// SupportedMediaTypes implements runtime.NegotiatedSerializer. It is asked once for each watch, which gets an events of its
// own.
func (c *codec) SupportedMediaTypes() (list []runtime.SerializerInfo) {
	for _, info := range c.NegotiatedSerializer.SupportedMediaTypes() {
		if s := info.StreamSerializer; info.MediaType == runtime.ContentTypeProtobuf {
			info.StreamSerializer = &runtime.StreamSerializerInfo{Serializer: &events{Serializer: s.Serializer}, Framer: buffered{s.Framer}}
		}
		list = append(list, info)
	}
	return list
}

// DecoderToVersion implements runtime.NegotiatedSerializer.
func (c *codec) DecoderToVersion(d runtime.Decoder, to runtime.GroupVersioner) runtime.Decoder {
	decoder := c.NegotiatedSerializer.DecoderToVersion(d, to)
	if d != c.protobuf.Serializer {
		return decoder
	}
	return &stripper{Decoder: decoder, selection: c.selection}
}

// buffered reads messages of a watch through a buffer: each of them is two reads.
type buffered struct{ runtime.Framer }

// NewFrameReader implements runtime.Framer.
func (b buffered) NewFrameReader(r io.ReadCloser) io.ReadCloser {
	return b.Framer.NewFrameReader(struct {
		io.Reader
		io.Closer
	}{bufio.NewReaderSize(r, 16<<10), r})
}

// events decodes the events of one watch. The object of each, still encoded, is there until the next.
type events struct {
	runtime.Serializer
	object []byte
}

// Decode implements runtime.Decoder.
func (e *events) Decode(data []byte, defaults *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	event, ok := into.(*metav1.WatchEvent)
	if !ok {
		return e.Serializer.Decode(data, defaults, into)
	}
	event.Object.Raw = e.object[:0]
	err := event.Unmarshal(data)
	e.object = event.Object.Raw
	return event, defaults, err
}

// stripper decodes objects of one watch, and strips those of resources with a Reader.
type stripper struct {
	runtime.Decoder
	selection object.Selection
	resource  *object.Resource
	reader    object.Reader
}

// Decode implements runtime.Decoder.
func (s *stripper) Decode(data []byte, defaults *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	if into == nil {
		if o := s.read(data); o != nil {
			return o, nil, nil
		}
	}
	return s.Decoder.Decode(data, defaults, into)
}

// read strips an object. Nothing of data is kept, which the next event is written over. It is nil for what is no object of
// a resource with a Reader, as a bookmark, which has no name. What cannot be read is for client-go to complain of.
func (s *stripper) read(data []byte) runtime.Object {
	version, kind, message, ok := object.Unwrap(object.Text(data))
	if !ok || !s.of(version, kind) {
		return nil
	}
	o, err := s.reader.Read(message)
	if err != nil || o.GetName() == "" {
		return nil
	}
	n, err := strip(s.resource, s.selection, o)
	if err != nil {
		return nil
	}
	return n
}

// of reports whether there is a Reader for a kind, and finds it.
func (s *stripper) of(version, kind string) bool {
	is := func(r *object.Resource) bool {
		return r != nil && r.Versions[0].String() == version && reflect.TypeOf(r.Example).Elem().Name() == kind
	}
	if is(s.resource) {
		return true
	}
	for i := range object.Resources {
		if r := &object.Resources[i]; r.Reader != nil && is(r) {
			s.resource, s.reader = r, r.Reader()
			return true
		}
	}
	return false
}
