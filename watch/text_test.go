package watch

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
)

// TestNoTextFailsService: whatever texts the objects of a service hold, it compiles.
func TestNoTextFailsService(t *testing.T) {
	long := strings.Repeat("a", 63)
	texts := []string{
		"",
		"a",
		"A",
		"-",
		"x..y",
		".",
		"a.",
		"_",
		"a_b",
		`\`,
		`\300`,
		"*",
		"ü",
		"K",
		long,
		long + "a",
		strings.Repeat("a.", 31) + "a",
		strings.Join(
			[]string{long, long, long, long[:57]},
			".",
		),
		strings.Join([]string{long, long, long, long[:61]}, "."),
		strings.Repeat("a", 300),
	}
	all := Options{Selection: object.Selection{PodNames: true, Zonal: true}}
	imports := Options{Selection: object.Selection{PodNames: true, Zonal: true, ServiceImports: true}}
	rapid.Check(t, func(t *rapid.T) {
		text := func(what string) string { return rapid.SampledFrom(texts).Draw(t, what) }
		options := rapid.SampledFrom([]Options{all, imports}).Draw(t, "options")
		meta := metav1.ObjectMeta{Namespace: long, Name: long, Labels: map[string]string{
			"kubernetes.io/service-name": long, "multicluster.kubernetes.io/service-name": long,
			"multicluster.kubernetes.io/source-cluster": text("cluster")}}
		s, _ := object.StripService(&corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{
			Type: corev1.ServiceType(
				rapid.SampledFrom([]string{"ClusterIP", "ExternalName"}).Draw(t, "type"),
			), ExternalName: text("external name"),
			ClusterIP: rapid.SampledFrom(
				[]string{"None", "10.96.0.1"},
			).Draw(
				t,
				"cluster IP",
			), Ports: []corev1.ServicePort{{Name: text("port"), Port: 80}}}})
		sl, _ := object.StripSlice(&discoveryv1.EndpointSlice{ObjectMeta: meta, AddressType: "IPv4",
			Ports: []discoveryv1.EndpointPort{{Name: to(text("endpoint port")), Port: to(int32(80))}},
			Endpoints: []discoveryv1.Endpoint{
				{Addresses: []string{"10.244.0.1"}, Hostname: to(text("hostname")), Zone: to(text("zone")),
					TargetRef: &corev1.ObjectReference{Name: text("pod")}},
			}}, options.Selection)
		var held []*object.Slice
		if sl != nil {
			held = append(held, sl)
		}
		var b zones.Builder
		if _, err := compile(&b, s, held, options); err != nil {
			t.Fatal(err)
		}
	})
}

func to[T any](v T) *T { return &v }
