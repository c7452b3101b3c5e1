package manifests

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/clusterdns/clusterdns/watch/object"
)

// workload is an object that makes pods.
type workload struct {
	metav1.Object
	manifest
	kind        string
	selector    *metav1.LabelSelector
	template    corev1.PodTemplateSpec
	first       int32  // ordinal of the first pod of a StatefulSet
	serviceName string // of a StatefulSet
	replicas    int32
	ready       int32 // pods that are ready: the first ones
}

// maxReplicas bounds the pods of one workload: a folder of manifests is to be read on a laptop.
const maxReplicas = 10000

// newWorkload is nil for an object that makes no pods.
func newWorkload(o metav1.Object, m manifest) *workload {
	w := &workload{Object: o, manifest: m, replicas: 1}
	var status any
	var ready int32
	switch o := o.(type) {
	case *appsv1.Deployment:
		w.kind, w.selector, w.template = "Deployment", o.Spec.Selector, o.Spec.Template
		status, ready = o.Status, o.Status.ReadyReplicas
		w.setReplicas(o.Spec.Replicas)
	case *appsv1.ReplicaSet:
		w.kind, w.selector, w.template = "ReplicaSet", o.Spec.Selector, o.Spec.Template
		status, ready = o.Status, o.Status.ReadyReplicas
		w.setReplicas(o.Spec.Replicas)
	case *appsv1.StatefulSet:
		w.kind, w.selector, w.template = "StatefulSet", o.Spec.Selector, o.Spec.Template
		status, ready = o.Status, o.Status.ReadyReplicas
		w.setReplicas(o.Spec.Replicas)
		w.serviceName = o.Spec.ServiceName
		if o.Spec.Ordinals != nil {
			w.first = o.Spec.Ordinals.Start
		}
	case *appsv1.DaemonSet: // for one node
		w.kind, w.selector, w.template = "DaemonSet", o.Spec.Selector, o.Spec.Template
		status, ready = o.Status, o.Status.NumberReady
	default:
		return nil
	}
	w.ready = w.replicas
	if !reflect.ValueOf(status).IsZero() || w.readyIsGiven() {
		w.ready = min(ready, w.replicas)
	}
	return w
}

func (w *workload) setReplicas(n *int32) {
	if n != nil {
		w.replicas = *n
	}
}

// readyIsGiven tells a status in which no pod is ready from the empty one that tools write into manifests.
func (w *workload) readyIsGiven() bool {
	var o struct {
		Status struct {
			ReadyReplicas *int32 `json:"readyReplicas"`
		} `json:"status"`
	}
	return json.Unmarshal(w.json, &o) == nil && o.Status.ReadyReplicas != nil
}

// makePods makes the pods of workloads. A workload whose pods or ReplicaSets are written too, as in the output of
// `kubectl get -o yaml`, has those.
func (c *controlPlane) makePods() {
	owners := map[id]bool{}
	own := func(o metav1.Object) {
		if r := metav1.GetControllerOf(o); r != nil {
			owners[id{r.Kind, object.Key{Namespace: o.GetNamespace(), Name: r.Name}}] = true
		}
	}
	for _, o := range c.pods {
		own(o)
	}
	for _, w := range c.workloads {
		own(w)
	}
	for _, w := range c.workloads {
		if owners[id{w.kind, object.KeyOf(w)}] {
			continue
		}
		if f := w.validate(); f != nil {
			c.report(f)
			continue
		}
		for i := range w.replicas {
			o := w.pod(i)
			if _, exists := c.written[id{"Pod", object.KeyOf(o)}]; !exists {
				c.pods = append(c.pods, o)
			}
		}
	}
}

// validate finds why no pods can be made; nil when they can.
func (w *workload) validate() *fault {
	if words := w.selectorFault(); words != "" {
		return w.fault("spec.selector", words)
	}
	if w.replicas < 0 || w.replicas > maxReplicas {
		return w.faultIn(fmt.Sprintf("replicas: \"%d\" is not between 0 and %d", w.replicas, maxReplicas))
	}
	if last := w.pod(max(w.replicas-1, 0)); w.kind == "StatefulSet" && !object.ValidLabel(last.Name) {
		return w.faultIn(fmt.Sprintf("name %q makes pods such as %q, which is not a DNS label", w.GetName(), last.Name))
	}
	if name := w.template.Spec.Hostname; name != "" && !object.ValidLabel(name) {
		return w.faultIn(fmt.Sprintf("hostname %q is not a DNS label", name))
	}
	return nil
}

// selectorFault is why an API server would reject the selector: it has to find the pods that the template makes.
func (w *workload) selectorFault() string {
	selector, err := metav1.LabelSelectorAsSelector(w.selector)
	switch {
	case err != nil:
		return "selector: " + err.Error()
	case w.selector == nil, selector.Empty():
		return "it has no selector"
	case !selector.Matches(labels.Set(w.template.Labels)):
		return "its selector does not match the labels of its template"
	}
	return ""
}

// pod is the workload's pod of a number. Names have the form that the controllers give them, with letters that follow
// from the workload's name, so that they are the same at every start; a change of the template is not a rollout.
func (w *workload) pod(i int32) *corev1.Pod {
	o := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.GetNamespace(), Labels: maps.Clone(w.template.Labels)},
		Spec:       w.template.Spec,
	}
	if o.Labels == nil {
		o.Labels = map[string]string{}
	}
	ordinal := strconv.Itoa(int(w.first + i))
	switch w.kind {
	case "StatefulSet":
		o.Name = w.GetName() + "-" + ordinal
		o.Spec.Hostname, o.Spec.Subdomain = o.Name, w.serviceName
		o.Labels[appsv1.StatefulSetPodNameLabel], o.Labels[appsv1.PodIndexLabel] = o.Name, ordinal
	case "Deployment":
		hash := letters(10, "replicaset", w.GetNamespace(), w.GetName())
		o.Labels[appsv1.DefaultDeploymentUniqueLabelKey] = hash
		o.Name = generateName(w.GetName()+"-"+hash, ordinal, w.GetNamespace())
	default:
		o.Name = generateName(w.GetName(), ordinal, w.GetNamespace())
	}
	ready := corev1.ConditionFalse
	if i < w.ready {
		ready = corev1.ConditionTrue
	}
	o.Status = corev1.PodStatus{
		Phase:      corev1.PodRunning,
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}},
	}
	return o
}

// generateName is base with five letters behind it, cut to 63 characters as the API server does.
func generateName(base string, parts ...string) string {
	if len(base) > 57 {
		base = base[:57]
	}
	return base + "-" + letters(5, append(parts, base)...)
}

// letters are n letters that follow from parts, of the alphabet that the controllers use, which makes no words.
func letters(n int, parts ...string) string {
	const alphabet = "bcdfghjklmnpqrstvwxz2456789"
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	for i := range n {
		sum[i] = alphabet[int(sum[i])%len(alphabet)]
	}
	return string(sum[:n])
}

// givePodIPs gives an address of each family to pods that have none. A pod that is pending has none, and one that has
// ended needs none.
func (c *controlPlane) givePodIPs(addresses *allocator) {
	var claims []claim
	var wanting []*corev1.Pod
	for _, o := range c.pods {
		if len(object.PodIPs(o)) > 0 || o.Status.Phase == corev1.PodPending || ended(o) {
			continue
		}
		wanting = append(wanting, o)
	}
	slices.SortFunc(wanting, func(a, b *corev1.Pod) int {
		return compareKeys(object.KeyOf(a), object.KeyOf(b))
	})
	for _, o := range wanting {
		k := object.KeyOf(o)
		claims = append(claims, claim{"pod", k, false}, claim{"pod", k, true})
	}
	full := 0
	addresses.assign(claims)
	for _, o := range wanting {
		if !addresses.current[claim{"pod", object.KeyOf(o), false}].IsValid() {
			full++
			continue
		}
		for _, ipv6 := range []bool{false, true} {
			if addr := addresses.current[claim{"pod", object.KeyOf(o), ipv6}]; addr.IsValid() {
				o.Status.PodIPs = append(o.Status.PodIPs, corev1.PodIP{IP: addr.String()})
			}
		}
	}
	if full > 0 {
		c.faults = append(c.faults, fault{words: fmt.Sprintf("%d pods have no address: 10.244.0.0/16 is full", full)})
	}
}

func ended(o *corev1.Pod) bool {
	return o.Status.Phase == corev1.PodSucceeded || o.Status.Phase == corev1.PodFailed
}
