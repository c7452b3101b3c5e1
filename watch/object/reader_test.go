package object

import (
	"fmt"
	"reflect"
	goruntime "runtime"
	"strings"
	"testing"
	"time"
	"unsafe"
	"weak"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/clusterdns/clusterdns/zones"
)

// decodable is an object with the decoder that is generated for it.
type decodable interface {
	metav1.Object
	Unmarshal([]byte) error
	Marshal() ([]byte, error)
}

// selections choose all that is kept, and little of it.
func selections() []Selection {
	all := Selection{PodNames: true, Affinity: true, Zonal: true, Clients: true, External: true, Nearest: zones.NearestHints,
		Who: true, Places: new(zones.Places), Hosts: Hosts{Zones: "example.org.", Resources: "Service", NameServer: "ns.prod"}}
	return []Selection{all, {}, {ServiceImports: true}}
}

// metadataToRead has all fields of an ObjectMeta.
func metadataToRead(name string) metav1.ObjectMeta {
	now := metav1.NewTime(time.Unix(1_700_000_000, 0))
	return metav1.ObjectMeta{Name: name, GenerateName: "web-", Namespace: "prod", UID: "1-2-3", ResourceVersion: "4711",
		Generation: 9, CreationTimestamp: now, DeletionTimestamp: &now, DeletionGracePeriodSeconds: to(int64(30)),
		Labels: map[string]string{discoveryv1.LabelServiceName: "web", corev1.IsHeadlessService: "", labelImportName: "shared",
			labelSourceCluster: "East", "other": "label"},
		Annotations: map[string]string{corev1.EndpointsLastChangeTriggerTime: "2023-11-14T22:13:20.5Z", annotationNearest: "never",
			"coredns.io/hostname": "Web.example.org, www.example.org"},
		OwnerReferences: []metav1.OwnerReference{{Kind: "Service", Name: "web"}}, Finalizers: []string{"done"},
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl", FieldsV1: metav1.NewFieldsV1(`{"f:spec":{}}`)}}}
}

func sliceToRead() *discoveryv1.EndpointSlice {
	pod := func(name string) *corev1.ObjectReference {
		return &corev1.ObjectReference{Kind: "Pod", Namespace: "prod", Name: name, UID: "4", APIVersion: "v1", ResourceVersion: "5", FieldPath: "f"}
	}
	return &discoveryv1.EndpointSlice{ObjectMeta: metadataToRead("web-x7k2p"), AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{
			{Addresses: []string{"10.0.0.1", "10.0.0.2"}, Hostname: to("web-0"), TargetRef: pod("web-0"), NodeName: to("node-1"), Zone: to("Eu-1"),
				Conditions: discoveryv1.EndpointConditions{Ready: to(true), Serving: to(true), Terminating: to(false)},
				Hints: &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: "eu-1"}, {Name: "eu-2"}},
					ForNodes: []discoveryv1.ForNode{{Name: "node-1"}}},
				DeprecatedTopology: map[string]string{"topology.kubernetes.io/zone": "eu-1"}},
			{Addresses: []string{"10.0.0.3"}, TargetRef: pod("web-1"), Conditions: discoveryv1.EndpointConditions{Ready: to(false)}},
			{Addresses: []string{"10.0.0.4"}, Hostname: to("not a label"), Zone: to("not a zone")},
			{Addresses: []string{"nonsense"}, Hints: &discoveryv1.EndpointHints{}},
			{},
		},
		Ports: []discoveryv1.EndpointPort{{Name: to("http"), Protocol: to(corev1.ProtocolTCP), Port: to(int32(8080)), AppProtocol: to("h2c")},
			{}, {Name: to("BAD"), Protocol: to(corev1.Protocol("QUIC"))}, {Port: to(int32(-1))}}}
}

func serviceToRead() *corev1.Service {
	return &corev1.Service{ObjectMeta: metadataToRead("web"), Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeLoadBalancer, ClusterIP: "10.96.0.1", ClusterIPs: []string{"10.96.0.1", "fd00::1", "nonsense"},
		Ports:    []corev1.ServicePort{{Name: "http", Protocol: corev1.ProtocolTCP, Port: 80, NodePort: 30080}, {Name: "BAD", Port: 81}, {Port: 1 << 20}},
		Selector: map[string]string{"app": "web"}, ExternalIPs: []string{"192.0.2.1", "x"}, SessionAffinity: corev1.ServiceAffinityClientIP,
		LoadBalancerIP: "192.0.2.2", ExternalName: "www.example.org", IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol},
		InternalTrafficPolicy: to(corev1.ServiceInternalTrafficPolicyLocal), TrafficDistribution: to("PreferClose"),
	}, Status: corev1.ServiceStatus{
		LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: "192.0.2.3"}, {Hostname: "LB.example.net."}, {IP: "x"}}},
		Conditions:   []metav1.Condition{{Type: "Ready"}},
	}}
}

// messages are some objects as an API server has them.
func messages(tb testing.TB, list ...decodable) (all [][]byte) {
	for _, o := range list {
		message, err := o.Marshal()
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, message)
	}
	return all
}

func sliceMessages(tb testing.TB) [][]byte {
	v6 := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: "v6", Namespace: "prod"}, AddressType: discoveryv1.AddressTypeIPv6,
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"fd00::1"}}, {Addresses: []string{"10.0.0.1"}}}}
	v6.Labels = map[string]string{discoveryv1.LabelServiceName: "web"}
	names := &discoveryv1.EndpointSlice{ObjectMeta: metadataToRead("names"), AddressType: discoveryv1.AddressTypeFQDN}
	return append(messages(tb, sliceToRead(), v6, names, &discoveryv1.EndpointSlice{}), nil)
}

func serviceMessages(tb testing.TB) [][]byte {
	alias := &corev1.Service{ObjectMeta: metadataToRead("alias"), Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "WWW.example.org."}}
	headless := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: "prod"},
		Spec: corev1.ServiceSpec{ClusterIP: "None", Ports: []corev1.ServicePort{{Name: "sql", Port: 5432}}}}
	bad := &corev1.Service{ObjectMeta: metadataToRead("not a label")}
	return append(messages(tb, serviceToRead(), alias, headless, bad, &corev1.Service{}), nil)
}

// within reports the text of v, whatever it is, that is a part of message.
func within(v reflect.Value, message string) (text string, found bool) {
	switch v.Kind() {
	case reflect.String:
		begin, at := uintptr(unsafe.Pointer(unsafe.StringData(message))), uintptr(unsafe.Pointer(unsafe.StringData(v.String())))
		return v.String(), v.Len() > 0 && at >= begin && at < begin+uintptr(len(message))
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() || v.Type() == reflect.TypeFor[*time.Location]() {
			return "", false
		}
		return within(v.Elem(), message)
	case reflect.Struct:
		for i := range v.NumField() {
			if text, found = within(v.Field(i), message); found {
				return text, true
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			if text, found = within(v.Index(i), message); found {
				return text, true
			}
		}
	}
	return "", false
}

// readAlike fails the test where what is kept of a message is not what is kept of it as the generated decoder reads it, or
// where it would keep the message.
func readAlike(t *testing.T, r *Resource, reader Reader, data []byte) {
	t.Helper()
	want := reflect.New(reflect.TypeOf(r.Example).Elem()).Interface().(decodable)
	if want.Unmarshal(data) != nil {
		_, _ = reader.Read(string(data))
		return
	}
	message, like := make([]byte, len(data)), selections()
	for i, selection := range selections() {
		copy(message, data)
		got, err := reader.Read(Text(message))
		if err != nil {
			t.Fatalf("%v: %x", err, data)
		}
		if got.GetName() != want.GetName() || got.GetNamespace() != want.GetNamespace() || got.GetResourceVersion() != want.GetResourceVersion() {
			t.Fatalf("read %s/%s %s, want %s/%s %s", got.GetNamespace(), got.GetName(), got.GetResourceVersion(),
				want.GetNamespace(), want.GetName(), want.GetResourceVersion())
		}
		kept, problems, _ := r.Strip(got, selection)
		for j := range message { // the next message is written over it
			message[j] ^= 0xff
		}
		wanted, wantedProblems, _ := r.Strip(want, like[i])
		if !reflect.DeepEqual(kept, wanted) || !reflect.DeepEqual(problems, wantedProblems) {
			t.Fatalf("kept %+v %v, want %+v %v, of %x", kept, problems, wanted, wantedProblems, data)
		}
		if places, want := selection.Places.All(), like[i].Places.All(); !reflect.DeepEqual(places, want) {
			t.Fatalf("places %q, want %q", places, want)
		}
		if text, found := within(reflect.ValueOf([]any{kept, problems}), Text(message)); found {
			t.Fatalf("%q is a part of the message, which is kept with it", text)
		}
	}
}

func resource(plural string) *Resource {
	for i := range Resources {
		if Resources[i].Plural == plural {
			return &Resources[i]
		}
	}
	return nil
}

// readers checks all messages one after the other: nothing of one is left in the next.
func readers(t *testing.T, r *Resource, list [][]byte) {
	reader := r.Reader()
	for i := range list {
		for j := range list {
			readAlike(t, r, reader, list[i])
			readAlike(t, r, reader, list[j])
		}
	}
}

func TestSliceReader(t *testing.T)   { readers(t, resource("endpointslices"), sliceMessages(t)) }
func TestServiceReader(t *testing.T) { readers(t, resource("services"), serviceMessages(t)) }

func fuzzReader(f *testing.F, r *Resource, seeds [][]byte) {
	for _, message := range seeds {
		f.Add(message)
	}
	f.Add([]byte("\x0a\x08\x5a\x06\x08\x01a\x12\x01bc")) // a key of another type, which ends behind its entry
	f.Add([]byte("\x1b\x0b\x09abcdefgh\x0c\x1c\x22\x00"))
	reader := r.Reader()
	f.Fuzz(func(t *testing.T, data []byte) {
		readAlike(t, r, reader, data)
		readAlike(t, r, reader, seeds[0])
	})
}

// What is kept of slices and services is what is kept of them as the generated decoders read them.
func FuzzSliceReader(f *testing.F)   { fuzzReader(f, resource("endpointslices"), sliceMessages(f)) }
func FuzzServiceReader(f *testing.F) { fuzzReader(f, resource("services"), serviceMessages(f)) }

// TestReaderKeepsOneMessage: of a message nothing is left once another has been read, though it had more of everything.
func TestReaderKeepsOneMessage(t *testing.T) {
	little := map[string]decodable{
		"endpointslices": &discoveryv1.EndpointSlice{Endpoints: []discoveryv1.Endpoint{{}}, Ports: []discoveryv1.EndpointPort{{}}},
		"services":       &corev1.Service{},
	}
	for plural, o := range map[string]decodable{"endpointslices": sliceToRead(), "services": serviceToRead()} {
		reader := resource(plural).Reader()
		var before []weak.Pointer[byte]
		for _, data := range messages(t, o, o) { // the second has the lists of the first
			message := string(data)
			before = append(before, weak.Make(unsafe.StringData(message)))
			if _, err := reader.Read(message); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := reader.Read(string(messages(t, little[plural])[0])); err != nil {
			t.Fatal(err)
		}
		goruntime.GC()
		for i, message := range before {
			if message.Value() != nil {
				t.Errorf("%s: message %d is kept", plural, i)
			}
		}
		goruntime.KeepAlive(reader)
	}
}

// TestReaderAllocates: of a slice that is passed over, nothing is allocated.
func TestReaderAllocates(t *testing.T) {
	for _, test := range []struct {
		r       *Resource
		message []byte
	}{{resource("endpointslices"), sliceMessages(t)[0]}, {resource("services"), serviceMessages(t)[0]}} {
		reader, message := test.r.Reader(), string(test.message)
		if n := testing.AllocsPerRun(100, func() { _, _ = reader.Read(message) }); n != 0 {
			t.Errorf("%s: %v allocations to read one again", test.r.Plural, n)
		}
	}
}

// TestUnwrap: an object is found in what an API server sends, and nothing in anything else.
func TestUnwrap(t *testing.T) {
	wrap := func(u runtime.Unknown) string {
		message, err := u.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return Magic + string(message)
	}
	is := runtime.TypeMeta{APIVersion: "v1", Kind: "Service"}
	whole := wrap(runtime.Unknown{TypeMeta: is, Raw: []byte("object")})
	for _, test := range []struct {
		message string
		want    string
	}{
		{whole, "v1 Service object true"},
		{whole[1:], "   false"},
		{whole[:len(whole)-5], "v1 Service  false"},
		{wrap(runtime.Unknown{TypeMeta: is, Raw: []byte("object"), ContentEncoding: "gzip"}), "v1 Service object false"},
		{wrap(runtime.Unknown{TypeMeta: is, Raw: []byte("object"), ContentType: "application/json"}), "v1 Service object false"},
		{"", "   false"},
	} {
		version, kind, o, ok := Unwrap(test.message)
		if got := strings.Join([]string{version, kind, o, fmt.Sprint(ok)}, " "); got != test.want {
			t.Errorf("%q: %s, want %s", test.message, got, test.want)
		}
	}
}
