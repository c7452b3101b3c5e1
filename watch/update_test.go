package watch

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"
)

// updated is headless services of 40 endpoints, and two messages in which the slice of one of them arrives: in one of them its
// first endpoint is not ready.
type updated struct {
	*stores
	stripper stripper
	messages [2][]byte
	version  int
}

// aVersion has as many digits as all versions that a test writes over it.
const aVersion = 100_000_000

func newUpdated(t testing.TB) *updated {
	u := &updated{stores: newStores(t), version: aVersion}
	var services, slices []any
	for i := range 100 {
		s := serviceAt(fmt.Sprint("db-", i), "None", 1)
		services, slices = append(services, s), append(slices, readySlice(i, 1, true))
	}
	must(t, u.namespaces.Replace([]any{namespaceAt("prod", 1)}, "1"))
	must(t, u.services.Replace(services, "1"))
	must(t, u.slices.Replace(slices, "1"))
	u.state.publish(time.Now())
	for i := range u.messages {
		u.messages[i] = encoded(t, readySlice(7, aVersion, i == 0), kruntime.ContentTypeProtobuf)
	}
	return u
}

// readySlice is the slice of a service of 40 endpoints, of which the first is ready or not.
func readySlice(service, version int, ready bool) *discoveryv1.EndpointSlice {
	name := fmt.Sprint("db-", service)
	o := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: name, ResourceVersion: fmt.Sprint(version),
			Labels: map[string]string{discoveryv1.LabelServiceName: name}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: to("sql"), Port: to(int32(5432))}},
	}
	for i := range 40 {
		o.Endpoints = append(o.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.1.%d.%d", service, 100+i)},
			Conditions: discoveryv1.EndpointConditions{Ready: to(ready || i > 0)}, NodeName: to(fmt.Sprint("node-", i)),
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: "prod", Name: fmt.Sprint(name, "-", i)}})
	}
	return o
}

// update has the slice arrive once more, changed, and published.
func (u *updated) update(t testing.TB) {
	u.version++
	message := u.messages[u.version%2]
	copy(message[bytes.Index(message, []byte("100")):], fmt.Sprint(u.version))
	o := u.stripper.read(message)
	if o == nil {
		t.Fatal("the slice cannot be read")
	}
	must(t, u.slices.Update(o))
	u.state.publish(time.Now())
}

// TestUpdateGarbage: an update allocates little more than what is kept of it. The more it leaves, the more often the whole index is
// marked.
func TestUpdateGarbage(t *testing.T) {
	const count, most = 1000, 7 << 10
	u := newUpdated(t)
	u.update(t)
	published := u.state.counters.Published
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range count {
		u.update(t)
	}
	runtime.ReadMemStats(&after)
	if got := u.state.counters.Published - published; got != count {
		t.Fatalf("%d of %d updates have been published", got, count)
	}
	octets := (after.TotalAlloc - before.TotalAlloc) / count
	if t.Logf("%d octets for each update", octets); octets > most {
		t.Errorf("%d octets for each update, more than %d", octets, most)
	}
}

// BenchmarkUpdate is what an update costs from the message to the index.
func BenchmarkUpdate(b *testing.B) {
	u := newUpdated(b)
	b.ReportAllocs()
	for b.Loop() {
		u.update(b)
	}
}
