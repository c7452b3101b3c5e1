package manifests

//lint:file-ignore SA1019 Endpoints are deprecated, and still written by hand for services without a selector

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/clusterdns/clusterdns/watch/object"
)

// Here, and in services.go, backends.go and templates.go, is why an API server refuses an object, with its own rules
// where a library has them. What neither names, addresses, ports and labels nor the pods of a workload come from is not
// looked at: volumes, probes, resources, security contexts.

// spec is the path of most fields.
var spec = field.NewPath("spec")

// validate finds why an API server would refuse an object. One with a resource version has been read from an API server,
// which took it, perhaps by the rules of an earlier version or with other ranges: but for its name it is taken as it is.
func validate(o metav1.Object) field.ErrorList {
	if o.GetResourceVersion() != "" {
		switch o.(type) {
		case *corev1.Service:
			return validateMeta(o, true, validation.NameIsDNSLabel)
		case *corev1.Endpoints, *discoveryv1.EndpointSlice, *corev1.Pod:
			return validateMeta(o, true, validation.NameIsDNSSubdomain)
		}
	}
	switch o := o.(type) {
	case *corev1.Namespace:
		return validateMeta(o, false, validation.NameIsDNSLabel)
	case *corev1.Service:
		return append(validateMeta(o, true, validation.NameIsDNSLabel), validateService(o)...)
	case *corev1.Endpoints:
		return append(validateMeta(o, true, validation.NameIsDNSSubdomain), validateEndpoints(o)...)
	case *discoveryv1.EndpointSlice:
		return append(validateMeta(o, true, validation.NameIsDNSSubdomain), validateSlice(o)...)
	case *corev1.Pod:
		list := append(validateMeta(o, true, validation.NameIsDNSSubdomain), validatePod(&o.Spec, spec)...)
		return append(list, oneOf(spec.Child("restartPolicy"), o.Spec.RestartPolicy, restartPolicies)...)
	case *appsv1.StatefulSet:
		return append(validateMeta(o, true, validation.NameIsDNSLabel), validateWorkload(o)...)
	case *appsv1.Deployment, *appsv1.ReplicaSet, *appsv1.DaemonSet, *corev1.ReplicationController, *batchv1.Job:
		return append(validateMeta(o, true, validation.NameIsDNSSubdomain), validateWorkload(o)...)
	case *object.ServiceImport:
		return append(validateMeta(o, true, validation.NameIsDNSSubdomain), validateImport(o)...)
	}
	return nil
}

// validateMeta is about what all objects have. A generated name is no name: it would be another one at every start.
func validateMeta(o metav1.Object, namespaced bool, name validation.ValidateNameFunc) field.ErrorList {
	path := field.NewPath("metadata")
	if o.GetName() == "" {
		return field.ErrorList{field.Required(path.Child("name"), "give it a name")}
	}
	list := validation.ValidateObjectMetaAccessor(o, namespaced, name, path)
	for i, text := range o.GetFinalizers() {
		if !strings.Contains(text, "/") && !slices.Contains(finalizers, text) {
			list = append(list, field.Invalid(path.Child("finalizers").Index(i), text,
				"name is neither a standard finalizer name nor is it fully qualified"))
		}
	}
	return list
}

// finalizers are those that need no domain.
var finalizers = []string{
	string(corev1.FinalizerKubernetes),
	metav1.FinalizerOrphanDependents,
	metav1.FinalizerDeleteDependents,
}

// validateImport is what the schema of mcs-api has, and what a name needs.
func validateImport(o *object.ServiceImport) (list field.ErrorList) {
	list = append(list, oneOf(spec.Child("type"), o.Spec.Type, importTypes)...)
	if o.Spec.Ports == nil {
		list = append(list, field.Required(spec.Child("ports"), "write [] for none"))
	}
	for i, p := range o.Spec.Ports {
		if p.Port == nil {
			list = append(list, field.Required(spec.Child("ports").Index(i).Child("port"), "the number of the port"))
		}
	}
	if n := len(o.Spec.IPs); n > 2 {
		list = append(list, field.TooMany(spec.Child("ips"), n, 2))
	}
	return list
}

var (
	restartPolicies = []corev1.RestartPolicy{
		"",
		corev1.RestartPolicyAlways,
		corev1.RestartPolicyOnFailure,
		corev1.RestartPolicyNever,
	}
	importTypes = []string{"ClusterSetIP", "Headless"}
	protocols   = []corev1.Protocol{"", corev1.ProtocolSCTP, corev1.ProtocolTCP, corev1.ProtocolUDP}
)

// oneOf refuses a value that is not one of valid. An empty one in valid stands for a default.
func oneOf[T ~string](path *field.Path, value T, valid []T) field.ErrorList {
	if slices.Contains(valid, value) {
		return nil
	}
	if valid[0] == "" {
		valid = valid[1:]
	}
	return field.ErrorList{field.NotSupported(path, value, valid)}
}

// each refuses a value for every message of a rule.
func each(path *field.Path, value any, messages []string) (list field.ErrorList) {
	for _, message := range messages {
		list = append(list, field.Invalid(path, value, message))
	}
	return list
}

// label refuses a value that is neither empty nor a DNS label.
func label(path *field.Path, value string) field.ErrorList {
	if value == "" {
		return nil
	}
	return each(path, value, utilvalidation.IsDNS1123Label(value))
}

// number refuses a port that is none.
func number(path *field.Path, value int32) field.ErrorList {
	return each(path, value, utilvalidation.IsValidPortNum(int(value)))
}

// notNegative refuses a value below zero; nil stands for a default.
func notNegative(path *field.Path, value *int32) field.ErrorList {
	if value == nil {
		return nil
	}
	return validation.ValidateNonnegativeField(int64(*value), path)
}

// qualified refuses a value that is no name of the form example.com/name; nil is none.
func qualified(path *field.Path, value *string) field.ErrorList {
	if value == nil {
		return nil
	}
	return metavalidation.ValidateLabelName(*value, path)
}

// duplicates refuses a value that is there before.
type duplicates[T comparable] map[T]bool

func (seen duplicates[T]) add(path *field.Path, value T) field.ErrorList {
	if seen[value] {
		return field.ErrorList{field.Duplicate(path, fmt.Sprint(value))}
	}
	seen[value] = true
	return nil
}

// refusal is the words for an object that is left out.
func refusal(kind string, key object.Key, why error) string {
	return fmt.Sprintf("%s is refused: %v", title(kind, key), why)
}

// title names an object.
func title(kind string, key object.Key) string {
	switch {
	case key.Name == "":
		return kind
	case key.Namespace == "":
		return kind + " " + key.Name
	}
	return kind + " " + key.Namespace + "/" + key.Name
}
