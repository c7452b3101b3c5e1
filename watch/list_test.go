package watch

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
)

// encoded is o as an API server sends it.
func encoded(tb testing.TB, o runtime.Object, mediaType string) []byte {
	tb.Helper()
	kinds, _, err := scheme.Scheme.ObjectKinds(o)
	must(tb, err)
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), mediaType)
	data, err := runtime.Encode(scheme.Codecs.EncoderForVersion(info.Serializer, kinds[0].GroupVersion()), o)
	must(tb, err)
	return data
}

func slicesToRead() *discoveryv1.EndpointSliceList {
	return &discoveryv1.EndpointSliceList{
		ListMeta: metav1.ListMeta{ResourceVersion: "7", Continue: "more"},
		Items:    []discoveryv1.EndpointSlice{*sliceAt("a", "10.1.0.1", 2), {}, *sliceAt("b", "10.1.0.2", 3)},
	}
}

// readSlices is a list as readList reads it.
func readSlices(body []byte) (list discoveryv1.EndpointSliceList, err error) {
	from := bufio.NewReaderSize(bytes.NewReader(body), 16)
	list.ListMeta, err = readList(from, "EndpointSliceList", func(item []byte) error {
		list.Items = append(list.Items, discoveryv1.EndpointSlice{})
		return list.Items[len(list.Items)-1].Unmarshal(item)
	})
	return list, err
}

// TestReadList: what is read is what was written, and nothing of a list that breaks off anywhere passes for a whole one.
func TestReadList(t *testing.T) {
	want := slicesToRead()
	body := encoded(t, want, runtime.ContentTypeProtobuf)
	got, err := readSlices(body)
	must(t, err)
	if !reflect.DeepEqual(&got, want) {
		t.Errorf("read %+v, want %+v", got, want)
	}
	end := bytes.Index(body, []byte("10.1.0.2")) // in the last object
	for n := range end {
		if _, err := readSlices(body[:n]); err == nil {
			t.Errorf("the first %d of %d octets are taken as a list", n, len(body))
		}
	}
	services := encoded(t, &corev1.ServiceList{}, runtime.ContentTypeProtobuf)
	twice := append(slices.Clone(body), body[len(object.Magic):]...)
	huge := []byte(object.Magic + "\x0a\x17\x0a\x02v1\x12\x11EndpointSliceList\x12\xff\xff\xff\xff\x0f\x12\xff\xff\xff\x7f")
	for _, bad := range [][]byte{nil, []byte("{}"), []byte(object.Magic), services, twice, huge} {
		if _, err := readSlices(bad); err == nil {
			t.Errorf("%.40q is taken as a list", bad)
		}
	}
}

// FuzzReadList: what is read is what the generated decoder reads, or nothing.
func FuzzReadList(f *testing.F) {
	f.Add(encoded(f, slicesToRead(), runtime.ContentTypeProtobuf))
	f.Add(encoded(f, &discoveryv1.EndpointSliceList{}, runtime.ContentTypeProtobuf))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := readSlices(body)
		if err != nil {
			return
		}
		var around runtime.Unknown
		var want discoveryv1.EndpointSliceList
		must(t, around.Unmarshal(body[len(object.Magic):]))
		must(t, want.Unmarshal(around.Raw))
		if !reflect.DeepEqual(got, want) {
			t.Errorf("read %+v, want %+v", got, want)
		}
	})
}

// servedBy is a client of namespaces of an API server that answers by handler.
func servedBy(t *testing.T, handler http.HandlerFunc) *versions {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	r := resourceOf(zones.Namespaces)
	config := &rest.Config{Host: server.URL}
	config.ContentType = runtime.ContentTypeProtobuf
	config.GroupVersion, config.APIPath = &r.Versions[0], "/api"
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme.Scheme).WithoutConversion()
	api, err := rest.RESTClientFor(config)
	must(t, err)
	all := func(*metav1.ListOptions) {}
	lw := cache.NewFilteredListWatchFromClient(api, r.Plural, metav1.NamespaceAll, all)
	return &versions{clients: []cache.ListerWatcherWithContext{&served{lw, api, r, all}}}
}

func namespacesToRead(more string, names ...string) *corev1.NamespaceList {
	list := &corev1.NamespaceList{ListMeta: metav1.ListMeta{ResourceVersion: "7", Continue: more}}
	for _, name := range names {
		list.Items = append(list.Items, *namespaceAt(name, 1))
	}
	return list
}

// answer sends o in a content type.
func answer(t *testing.T, w http.ResponseWriter, code int, o runtime.Object, mediaType string) {
	w.Header().Set("Content-Type", mediaType)
	w.WriteHeader(code)
	_, _ = w.Write(encoded(t, o, mediaType))
}

// TestListInJSON: something between the API server and this one may know JSON only.
func TestListInJSON(t *testing.T) {
	c := servedBy(t, func(w http.ResponseWriter, _ *http.Request) {
		answer(t, w, http.StatusOK, namespacesToRead("", "a", "b"), runtime.ContentTypeJSON)
	})
	list, err := c.ListEach(t.Context(), metav1.ListOptions{}, func(o any) (any, error) { return o, nil })
	must(t, err)
	if got := list.(*corev1.NamespaceList).Items; len(got) != 2 || got[1].Name != "b" {
		t.Errorf("read %v", got)
	}
}

// TestListEndsEarly: a list that breaks off, or of which an object cannot be taken, is an error.
func TestListEndsEarly(t *testing.T) {
	body := encoded(t, namespacesToRead("", "a", "b"), runtime.ContentTypeProtobuf)
	c := servedBy(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", runtime.ContentTypeProtobuf)
		_, _ = w.Write(body[:len(body)-12])
	})
	keep := func(any) (any, error) { return unchanged{}, nil }
	if list, err := c.ListEach(t.Context(), metav1.ListOptions{}, keep); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("list %v, error %v", list, err)
	}
	bad := errors.New("bad")
	if list, err := c.ListEach(t.Context(), metav1.ListOptions{}, func(any) (any, error) { return nil, bad }); !errors.Is(err, bad) {
		t.Errorf("list %v, error %v", list, err)
	}
}

// TestListExpiresBetweenPages: the API server sends pages where it has no cache, and forgets in between what the list was
// of. All is listed anew then, and nothing is lost or twice there.
func TestListExpiresBetweenPages(t *testing.T) {
	var asked []string
	var mu sync.Mutex
	c := servedBy(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		proto := runtime.ContentTypeProtobuf
		mu.Lock()
		defer mu.Unlock()
		switch {
		case q.Has("watch"):
			invalid := apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("ListOptions").GroupKind(), "", nil).Status()
			answer(t, w, http.StatusUnprocessableEntity, &invalid, proto)
		case q.Get("continue") == "more":
			asked = append(asked, "second page")
			expired := apierrors.NewResourceExpired("compacted").Status()
			answer(t, w, http.StatusGone, &expired, proto)
		case q.Get("limit") == "500":
			asked = append(asked, "first page")
			answer(t, w, http.StatusOK, namespacesToRead("more", "a", "gone"), proto)
		default:
			asked = append(asked, "all")
			answer(t, w, http.StatusOK, namespacesToRead("", "a", "b", "c"), proto)
		}
	})
	s, err := newState(Options{}, zones.NewIndex(), slog.New(slog.DiscardHandler))
	must(t, err)
	s.requests.counts = Requests{Answered: map[string]uint64{}}
	a := &apiServer{state: s, kinds: []*reflected{s.reflect(resourceOf(zones.Namespaces), c)}}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); a.run(ctx) }()
	<-s.listed
	stop()
	<-ended
	if got := s.names(); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("namespaces %q", got)
	}
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"first page", "second page", "all"}; len(asked) < 3 || !slices.Equal(asked[:3], want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
}

// TestListKeepsWhatItHas: objects of a list that are held already are not held twice.
func TestListKeepsWhatItHas(t *testing.T) {
	c := servedBy(t, func(w http.ResponseWriter, _ *http.Request) {
		answer(t, w, http.StatusOK, namespacesToRead("", "a", "b"), runtime.ContentTypeProtobuf)
	})
	s, err := newState(Options{}, zones.NewIndex(), slog.New(slog.DiscardHandler))
	must(t, err)
	to := newStore(s, resourceOf(zones.Namespaces), newAlive(""))
	var before *object.Namespace
	for range 2 {
		list, err := c.ListEach(t.Context(), metav1.ListOptions{}, to.Transformer())
		must(t, err)
		var items []any
		for _, o := range list.(*keptList).Items {
			items = append(items, o)
		}
		must(t, to.Replace(items, "7"))
		if now := s.namespace("a"); before != nil && before != now {
			t.Error("an object that has not changed was copied")
		} else {
			before = now
		}
	}
}
