package watch

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
	"unsafe"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
)

// framed is an event as a watch in protobuf or JSON has it.
func framed(t *testing.T, event string, o runtime.Object, mediaType string) []byte {
	t.Helper()
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), mediaType)
	e := &metav1.WatchEvent{Type: event}
	if o != nil {
		e.Object.Raw = encoded(t, o, mediaType)
	}
	var data, frame bytes.Buffer
	must(t, info.StreamSerializer.Encode(e, &data))
	_, err := info.StreamSerializer.NewFrameWriter(&frame).Write(data.Bytes())
	must(t, err)
	return frame.Bytes()
}

// TestStream: slices of a watch in protobuf arrive stripped, each for itself; all else arrives as it is, and what cannot be
// read ends the watch.
func TestStream(t *testing.T) {
	first, second := sliceAt("a", "10.1.0.1", 2), sliceAt("b", "10.1.0.2", 3)
	foreign := sliceAt("", "10.1.0.3", 4) // of no service
	foreign.Name = "foreign"
	bookmark := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "5",
		Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"}}}
	for _, mediaType := range []string{runtime.ContentTypeProtobuf, runtime.ContentTypeJSON} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", mediaType+";stream=watch")
			for _, frame := range [][]byte{
				framed(t, "ADDED", first, mediaType), framed(t, "MODIFIED", second, mediaType), framed(t, "DELETED", foreign, mediaType),
				framed(t, "BOOKMARK", bookmark, mediaType), framed(t, "ERROR", &metav1.Status{Message: "gone"}, mediaType),
			} {
				_, _ = w.Write(frame)
			}
			if mediaType == runtime.ContentTypeProtobuf {
				broken := framed(t, "ADDED", first, mediaType)
				_, _ = w.Write(append(broken[:len(broken)-1:len(broken)-1], 0xff))
			}
		}))
		defer server.Close()
		config, err := restConfig(Options{Endpoint: server.URL})
		must(t, err)
		clients, err := newClients(config, object.Selection{})
		must(t, err)
		r := resourceOf(zones.Slices)
		w, err := clients[r.Versions[0]].Get().Resource(r.Plural).VersionedParams(&metav1.ListOptions{Watch: true}, metav1.ParameterCodec).Watch(t.Context())
		must(t, err)
		var events []watch.Event
		for e := range w.ResultChan() {
			events = append(events, e)
		}
		want := []watch.EventType{watch.Added, watch.Modified, watch.Deleted, watch.Bookmark, watch.Error}
		if mediaType == runtime.ContentTypeProtobuf {
			want = append(want, watch.Error)
		}
		if len(events) != len(want) {
			t.Fatalf("%s: events %v", mediaType, events)
		}
		to := newStore(&state{}, r, newAlive(""))
		for i, o := range []*discoveryv1.EndpointSlice{first, second, foreign} {
			wanted, err := to.strip(o)
			must(t, err)
			got, err := to.strip(events[i].Object)
			must(t, err)
			if !reflect.DeepEqual(got, wanted) {
				t.Errorf("%s: event %d has %+v, want %+v", mediaType, i, got, wanted)
			}
			if _, stripped := events[i].Object.(*stripped); stripped != (mediaType == runtime.ContentTypeProtobuf) {
				t.Errorf("%s: event %d has a %T", mediaType, i, events[i].Object)
			}
		}
		if o, ok := events[3].Object.(*discoveryv1.EndpointSlice); !ok || o.Annotations[metav1.InitialEventsAnnotationKey] != "true" {
			t.Errorf("%s: the bookmark has %+v", mediaType, events[3].Object)
		}
		if o, ok := events[4].Object.(*metav1.Status); !ok || o.Message != "gone" {
			t.Errorf("%s: the error has %+v", mediaType, events[4].Object)
		}
		for i, e := range events {
			if e.Type != want[i] {
				t.Errorf("%s: event %d is %s, want %s", mediaType, i, e.Type, want[i])
			}
		}
	}
}

// TestEventsAreWrittenOver: nothing of an event changes when the next one is written over its octets.
func TestEventsAreWrittenOver(t *testing.T) {
	selections := [2]object.Selection{}
	for i := range selections {
		selections[i] = object.Selection{PodNames: true, Affinity: true, Zonal: true, Clients: true, External: true,
			Nearest: zones.NearestHints, Who: true, Places: new(zones.Places)}
	}
	slice, foreign, unnamed := sliceAt("web", "10.1.0.1", 2), sliceAt("", "10.1.0.3", 4), serviceAt("Bad_name", "10.96.0.1", 5)
	slice.Labels["multicluster.kubernetes.io/source-cluster"] = "east"
	slice.Endpoints[0].NodeName, slice.Endpoints[0].Zone = to("node-1"), to("Zone-1")
	slice.Endpoints[0].Hints = &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: "zone-1"}, {Name: "zone-2"}}}
	foreign.Name = "foreign"
	s, buffer := stripper{selection: selections[0]}, []byte(nil)
	var got, want []*stripped
	for _, o := range []runtime.Object{slice, serviceAt("web", "10.96.0.2", 3), foreign, unnamed, slice, serviceAt("db", "None", 7)} {
		buffer = append(buffer[:0], encoded(t, o, runtime.ContentTypeProtobuf)...)
		read, ok := s.read(buffer).(*stripped)
		if !ok {
			t.Fatalf("%T is not read", o)
		}
		for i := range buffer {
			buffer[i] ^= 0xff
		}
		kind := zones.Slices
		if _, ok := o.(*discoveryv1.EndpointSlice); !ok {
			kind = zones.Services
		}
		wanted, err := strip(resourceOf(kind), selections[1], o)
		must(t, err)
		got, want = append(got, read), append(want, wanted)
	}
	for i := range got {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("event %d has %+v, want %+v", i, got[i], want[i])
		}
	}
	if got, want := selections[0].Places.All(), selections[1].Places.All(); !reflect.DeepEqual(got, want) {
		t.Errorf("places %q, want %q", got, want)
	}
}

// TestListsAreNotPacked: an API server is told not to compress lists.
func TestListsAreNotPacked(t *testing.T) {
	asked := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Header.Get("Accept-Encoding")
		answer(t, w, http.StatusOK, namespacesToRead("", "a"), runtime.ContentTypeProtobuf)
	}))
	defer server.Close()
	config, err := restConfig(Options{Endpoint: server.URL})
	must(t, err)
	clients, err := newClients(config, object.Selection{})
	must(t, err)
	r := resourceOf(zones.Namespaces)
	must(t, clients[r.Versions[0]].Get().Resource(r.Plural).Do(t.Context()).Error())
	if got := <-asked; got != "" {
		t.Errorf("the API server may send %q", got)
	}
}

// TestOneTextForNamespace: the services and slices of a namespace share the text of its name.
func TestOneTextForNamespace(t *testing.T) {
	s, err := newState(Options{}, zones.NewIndex(), slog.New(slog.DiscardHandler))
	must(t, err)
	var texts []*byte
	for i := range 3 {
		name := string(rune('a' + i))
		for kind, o := range map[zones.Kinds]any{zones.Services: serviceAt(name, "10.96.0.1", 1), zones.Slices: sliceAt(name, "10.1.0.1", 1)} {
			must(t, newStore(s, resourceOf(kind), newAlive("")).Add(o))
			k, _ := s.kinds[kind].held(object.Key{Namespace: "prod", Name: name}).About()
			texts = append(texts, unsafe.StringData(k.Namespace))
		}
	}
	for _, text := range texts {
		if text != texts[0] {
			t.Fatalf("texts at %v", texts)
		}
	}
}
