package object

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/clusterdns/clusterdns/zones"
)

// TestEveryFieldIsKept writes and reads values of all types that are held, in which every field has a value, and some are
// nil or empty.
func TestEveryFieldIsKept(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, h := range held {
		for round := range 200 {
			v := reflect.New(h.typ)
			fill(random, v.Elem(), round%2 == 0)
			data := appendValue(nil, v.Elem())
			again, p := reflect.New(h.typ), &parser{rest: string(data)}
			if p.value(again.Elem()); p.failed || p.rest != "" {
				t.Fatalf("%v cannot be read again", h.typ)
			}
			if !reflect.DeepEqual(v.Interface(), again.Interface()) {
				t.Fatalf("%+v was read as %+v", v.Interface(), again.Interface())
			}
		}
	}
}

// fill gives all that v has a value; unless full, slices, maps and pointers are nil or empty now and then.
func fill(random *rand.Rand, v reflect.Value, full bool) {
	switch v.Type() {
	case typeAddr:
		addr := netip.AddrFrom4([4]byte{10, byte(random.Uint32()), 0, 1})
		if random.IntN(2) == 0 {
			addr = netip.AddrFrom16([16]byte{0xfd, byte(random.Uint32())})
		}
		v.Set(reflect.ValueOf(addr))
		return
	case typePrefix:
		v.Set(reflect.ValueOf(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(random.Uint32())}), 24)))
		return
	case typeTime:
		v.Set(reflect.ValueOf(time.Unix(random.Int64N(1<<33), random.Int64N(1e9)).UTC()))
		return
	case typeDetails:
		d, _ := zones.NewPodDetails(fmt.Sprint(random.Uint32()), map[string]string{"a": "b", "c": ""}, 100)
		v.Set(reflect.ValueOf(d))
		return
	}
	nothing := !full && random.IntN(3) == 0
	n := 1 + random.IntN(3)
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(full || random.IntN(2) == 0)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(1 + random.Uint64N(100))
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(1 + random.Int64N(1000) - 2000*random.Int64N(2))
	case reflect.String:
		v.SetString(strings.Repeat("x", n*100))
	case reflect.Struct:
		for i := range v.NumField() {
			fill(random, v.Field(i), full)
		}
	case reflect.Pointer:
		if !nothing {
			v.Set(reflect.New(v.Type().Elem()))
			fill(random, v.Elem(), full)
		}
	case reflect.Slice:
		if nothing {
			return
		}
		if !full && random.IntN(3) == 0 {
			n = 0 // empty is not nil: a list that brings the same object would be taken for a change
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(random, v.Index(i), full)
		}
	case reflect.Map:
		if !nothing {
			v.Set(reflect.ValueOf(map[string]string{"team": "a", "b": fmt.Sprint(n)}))
		}
	default:
		panic(fmt.Sprintf("%v has a kind of its own: let the codec know it", v.Type()))
	}
}

// TestHeldIsComplete holds the codec to the table of resources.
func TestHeldIsComplete(t *testing.T) {
	for i := range Resources {
		if typeOf(Resources[i].Kind) == nil {
			t.Errorf("objects of %s cannot be written to a file", Resources[i].Plural)
		}
	}
	for kind, name := range map[zones.Kinds]string{zones.HTTPRoutes: "HTTPRoute", zones.TLSRoutes: "TLSRoute", zones.GRPCRoutes: "GRPCRoute"} {
		if routeKind(name) != kind {
			t.Errorf("routes of kind %s are not held as such", name)
		}
	}
}

// TestParseRefuses reads objects that stripping would never keep.
func TestParseRefuses(t *testing.T) {
	web := Key{"prod", "web"}
	addr, mapped := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("::ffff:10.0.0.1")
	port := func(p Port) *Slice { return &Slice{Key: web, Service: "web", Ports: []Port{p}} }
	list := func(text string) *Slice { return &Slice{Key: web, Service: "web", Endpoints: Endpoints(text)} }
	tests := map[string]struct {
		kind   zones.Kinds
		object Object
	}{
		"service name":       {zones.Services, &Service{Key: Key{"prod", "a.b"}}},
		"service namespace":  {zones.Services, &Service{Key: Key{"", "a"}}},
		"flaw":               {zones.Services, &Service{Key: web, Flaw: Rejected + 1}},
		"external name":      {zones.Services, &Service{Key: web, ExternalName: "a..b"}},
		"both":               {zones.Services, &Service{Key: web, ExternalName: "a.b", Headless: true}},
		"headless":           {zones.Services, &Service{Key: web, Headless: true, ClusterIPs: []netip.Addr{addr}}},
		"mapped address":     {zones.Services, &Service{Key: web, ClusterIPs: []netip.Addr{mapped}}},
		"nothing outside":    {zones.Services, &Service{Key: web, Outside: &Outside{}}},
		"ingress host":       {zones.Services, &Service{Key: web, Outside: &Outside{Hosts: []string{"*.b"}}}},
		"port name":          {zones.Slices, port(Port{"a.b", "TCP", 80})},
		"protocol":           {zones.Slices, port(Port{"a", "tcp", 80})},
		"port":               {zones.Slices, port(Port{"a", "TCP", 65536})},
		"cluster":            {zones.Slices, &Slice{Key: web, Cluster: "a.b"}},
		"unready":            {zones.Slices, &Slice{Key: web, Unready: -1}},
		"cut address":        {zones.Slices, list("\x00\x0a\x00\x00")},
		"cut text":           {zones.Slices, list("\x02\x0a\x00\x00\x01\x05web")},
		"no text":            {zones.Slices, list("\x02\x0a\x00\x00\x01\x00")},
		"unknown flag":       {zones.Slices, list("\x80\x0a\x00\x00\x01")},
		"mapped endpoint":    {zones.Slices, list("\x01" + string(mapped.AsSlice()))},
		"hostname":           {zones.Slices, list("\x02\x0a\x00\x00\x01\x03a.b")},
		"zone":               {zones.Slices, list("\x08\x0a\x00\x00\x01\x02A.")},
		"namespace":          {zones.Namespaces, &Namespace{Name: "A"}},
		"pod namespace":      {zones.PodObjects, &Pod{Key: Key{"A", "web"}}},
		"pod start":          {zones.PodObjects, &Pod{Key: web, Started: -1}},
		"node address":       {zones.Nodes, &Node{LiveNode: zones.LiveNode{Name: "a", Addrs: []netip.Addr{mapped}}}},
		"host of an ingress": {zones.Ingresses, &Ingress{Key: web, Names: []string{"a.*.b"}}},
		"listener":           {zones.Gateways, &KeptGateway{Key: web, Listeners: []Listener{{Host: "-"}}}},
		"kind of route":      {zones.HTTPRoutes, &Route{Key: web, Kind: "TLSRoute"}},
		"type of records":    {zones.DNSEndpoints, &Records{Key: web, Sets: []RecordSet{{"a.b", "MX", 0, []string{"c"}}}}},
		"target":             {zones.DNSEndpoints, &Records{Key: web, Sets: []RecordSet{{"a.b", "A", 0, []string{"::1"}}}}},
		"TTL":                {zones.DNSEndpoints, &Records{Key: web, Sets: []RecordSet{{"a.b", "TXT", -1, []string{"c"}}}}},
		"long name":          {zones.Slices, &Slice{Key: Key{"prod", strings.Repeat("a", 254)}}},
	}
	for name, test := range tests {
		if _, err := Parse(test.kind, string(Append(nil, test.object))); err == nil {
			t.Errorf("%s: %+v was taken", name, test.object)
		}
	}
	if _, err := Parse(zones.Services, string(Append(nil, &Service{Key: web, Ports: []Port{{"http", "TCP", 80}}}))); err != nil {
		t.Error(err)
	}
}

// FuzzParse reads objects from any octets. What is taken is written as it was read, and walked.
func FuzzParse(f *testing.F) {
	f.Add(uint16(zones.Services), Append(nil, &Service{Key: Key{"prod", "web"}, ClusterIPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")},
		Ports: []Port{{"http", "TCP", 80}}, Outside: &Outside{Hosts: []string{"a.b"}}}))
	f.Add(uint16(zones.Slices), Append(nil, &Slice{Key: Key{"prod", "web-1"}, Service: "web", Endpoints: "\x06\x0a\x00\x00\x01\x03web\x02p1"}))
	f.Add(uint16(zones.PodObjects), Append(nil, &Pod{Key: Key{"prod", "p"}, Details: zones.UnpackPodDetails("p\x00a\x00b")}))
	f.Add(uint16(zones.DNSEndpoints), Append(nil, &Records{Key: Key{"prod", "r"}, Sets: []RecordSet{{"a.b", "A", 1, []string{"10.0.0.1"}}}}))
	f.Fuzz(func(t *testing.T, kind uint16, data []byte) {
		o, err := Parse(zones.Kinds(kind), string(data))
		if err != nil {
			return
		}
		if again := Append(nil, o); string(again) != string(data) {
			t.Errorf("%x was read, and is written as %x", data, again)
		}
		if s, ok := o.(*Slice); ok {
			s.Endpoints.Count()
			s.Clients.Count()
		}
	})
}
