package watch

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterdns/clusterdns/watch/object"
)

// eachLister is a client that hands over the objects of a list while they arrive: strip says what is kept of each.
type eachLister interface {
	ListEach(ctx context.Context, options metav1.ListOptions, strip cache.TransformFunc) (runtime.Object, error)
}

// listEach lists, and strips objects while they arrive where the client can.
func listEach(
	ctx context.Context, client cache.ListerWithContext, options metav1.ListOptions, strip cache.TransformFunc,
) (runtime.Object, error) {
	if each, ok := client.(eachLister); ok {
		return each.ListEach(ctx, options, strip)
	}
	return client.ListWithContext(ctx, options)
}

// served lists and watches a resource in one of its versions.
type served struct {
	*cache.ListWatch
	api      rest.Interface
	resource *object.Resource
	selected func(*metav1.ListOptions)
}

// keptList is a list of what is kept of objects.
type keptList struct {
	metav1.TypeMeta
	metav1.ListMeta
	Items []runtime.Object // *stripped or unchanged
}

// DeepCopyObject implements runtime.Object. Lists are not changed.
func (l *keptList) DeepCopyObject() runtime.Object { return l }

// message is a decoded object of those that the API server sends in protobuf.
type message interface {
	runtime.Object
	Reset()
	Unmarshal([]byte) error
}

// ListEach implements eachLister.
func (c *served) ListEach(ctx context.Context, o metav1.ListOptions, strip cache.TransformFunc) (runtime.Object, error) {
	example, ok := c.resource.Example.(message)
	if !ok { // a custom resource, of which API servers have JSON only
		return c.ListWithContext(ctx, o)
	}
	c.selected(&o)
	body, err := c.api.Get().Resource(c.resource.Plural).VersionedParams(&o, metav1.ParameterCodec).Stream(ctx)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	from := bufio.NewReaderSize(body, 64<<10)
	if head, _ := from.Peek(len(object.Magic)); string(head) != object.Magic {
		return readJSON(from, c.resource.List)
	}
	list, decode := &keptList{}, decoderOf(c.resource, example)
	list.ListMeta, err = readList(from, reflect.TypeOf(c.resource.List).Elem().Name(), func(item []byte) error {
		decoded, err := decode(item)
		if err != nil {
			return err
		}
		kept, err := strip(decoded)
		if err == nil {
			list.Items = append(list.Items, kept.(runtime.Object))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// decoderOf decodes one object after the other. Nothing that is kept of one refers to it.
func decoderOf(r *object.Resource, example message) func([]byte) (any, error) {
	if r.Reader != nil {
		reader := r.Reader()
		return func(item []byte) (any, error) { return reader.Read(object.Text(item)) }
	}
	decoded := reflect.New(reflect.TypeOf(example).Elem()).Interface().(message)
	return func(item []byte) (any, error) {
		decoded.Reset()
		return decoded, decoded.Unmarshal(item)
	}
}

// readJSON reads a list as a server that has no protobuf sends it.
func readJSON(from io.Reader, example runtime.Object) (runtime.Object, error) {
	list := reflect.New(reflect.TypeOf(example).Elem()).Interface().(runtime.Object)
	if err := json.NewDecoder(from).Decode(list); err != nil {
		return nil, err
	}
	return list, nil
}

// GetObjectKind implements runtime.Object, which the elements of a list are.
func (o *stripped) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements runtime.Object. What is stripped is not changed.
func (o *stripped) DeepCopyObject() runtime.Object { return o }

// GetObjectKind implements runtime.Object.
func (o unchanged) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements runtime.Object.
func (o unchanged) DeepCopyObject() runtime.Object { return o }
