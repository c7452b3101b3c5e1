package manifests

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kubejson "k8s.io/apimachinery/pkg/runtime/serializer/json"

	"github.com/clusterdns/clusterdns/watch/object"
)

//lint:file-ignore SA1019 Endpoints are deprecated, and still written by hand for services without a selector

// decoder reads the kinds that names come from.
type decoder struct {
	scheme  *runtime.Scheme
	codec   *kubejson.Serializer
	partial map[schema.GroupVersionKind]bool // kinds of whose fields not all are known here
}

func newDecoder() *decoder {
	s := runtime.NewScheme()
	partial := map[schema.GroupVersionKind]bool{}
	for _, r := range object.Resources {
		for _, version := range r.Versions {
			s.AddKnownTypes(version, r.Example)
		}
		kinds, _, _ := s.ObjectKinds(r.Example)
		for _, kind := range kinds {
			partial[kind] = r.Partial
		}
	}
	s.AddKnownTypes(corev1.SchemeGroupVersion, &corev1.Endpoints{}, &corev1.ReplicationController{})
	s.AddKnownTypes(batchv1.SchemeGroupVersion, &batchv1.Job{})
	s.AddKnownTypes(
		appsv1.SchemeGroupVersion,
		&appsv1.Deployment{},
		&appsv1.ReplicaSet{},
		&appsv1.StatefulSet{},
		&appsv1.DaemonSet{},
	)
	return &decoder{
		s,
		kubejson.NewSerializerWithOptions(kubejson.DefaultMetaFactory, s, s, kubejson.SerializerOptions{Strict: true}),
		partial,
	}
}

// decode is the manifest as an object. An object of a kind that is not read is nil, with the kind and without a fault.
// A field that is not known is a fault too, though the object is read: kubectl rejects a misspelt field, and a selector
// that was overlooked is hard to find.
func (d *decoder) decode(m manifest) (o runtime.Object, kind string, faults []*fault) {
	o, gvk, err := d.codec.Decode(m.json, nil, nil)
	switch {
	case err == nil:
		return o, gvk.Kind, nil
	case runtime.IsMissingKind(err):
		return nil, "", []*fault{m.left("", "it has no kind")}
	case runtime.IsMissingVersion(err):
		return nil, "", []*fault{m.left("kind", "it has no apiVersion")}
	case runtime.IsNotRegisteredError(err):
		if served, ok := d.serves(*gvk); ok {
			return nil, "", []*fault{m.left(
				"apiVersion",
				fmt.Sprintf("kind %s of %s is not read, only of %s", gvk.Kind, gvk.GroupVersion(), served),
			)}
		}
		if meant := d.meant(*gvk); meant != "" {
			return nil, "", []*fault{m.left("kind", fmt.Sprintf("unknown kind %q (did you mean %q?)", gvk.Kind, meant))}
		}
		return nil, gvk.Kind, nil
	}
	if strict, ok := runtime.AsStrictDecodingError(err); ok && o != nil {
		if d.partial[*gvk] {
			return o, gvk.Kind, nil
		}
		for _, err := range strict.Errors() {
			_, field, _ := strings.Cut(err.Error(), `"`)
			faults = append(faults, m.fault(strings.TrimSuffix(field, `"`), err.Error()+"; the rest of the object is taken"))
		}
		return o, gvk.Kind, faults
	}
	return nil, "", []*fault{m.typeFault(err)}
}

// meant is the kind that is written in other cases of letters: "service" is an API server's "no matches for kind".
func (d *decoder) meant(kind schema.GroupVersionKind) string {
	for known := range d.scheme.AllKnownTypes() {
		if strings.EqualFold(known.Kind, kind.Kind) && (known.Group == kind.Group || !strings.Contains(kind.Group, ".")) {
			return known.Kind
		}
	}
	return ""
}

// serves is the version of which a kind is read, when it is not the one that is written. Groups without a dot are
// Kubernetes's own: such a Deployment is an old one, of group "extensions", or a mistake.
func (d *decoder) serves(kind schema.GroupVersionKind) (version schema.GroupVersion, ok bool) {
	for known := range d.scheme.AllKnownTypes() {
		if known.Kind == kind.Kind && (known.Group == kind.Group || !strings.Contains(kind.Group, ".")) &&
			known.Version > version.Version { // of two, v1beta1 comes behind v1alpha1
			version, ok = known.GroupVersion(), true
		}
	}
	return version, ok
}
