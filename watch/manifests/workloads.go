package manifests

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
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
	selector    labels.Selector // of the pods that it takes for its own
	template    *corev1.PodTemplateSpec
	first       int32  // ordinal of the first pod of a StatefulSet
	serviceName string // of a StatefulSet
	indexed     bool   // a Job whose pods have numbers
	anew        bool   // pods that it adopts are replaced by pods of its template
	replicas    int32
	ready       int32 // pods that are ready: the first ones
}

// maxReplicas bounds the pods of one workload: a folder of manifests is to be read on a laptop.
const maxReplicas = 10000

// newWorkload is nil for an object that makes no pods.
func newWorkload(o metav1.Object, m manifest) *workload {
	w := &workload{Object: o, manifest: m, replicas: 1}
	var selector *metav1.LabelSelector
	var status any
	var ready int32
	switch o := o.(type) {
	case *appsv1.Deployment:
		w.kind, selector, w.template = "Deployment", o.Spec.Selector, &o.Spec.Template
		status, ready = o.Status, o.Status.ReadyReplicas
		w.setReplicas(o.Spec.Replicas)
		if o.Spec.Paused && o.Status.Replicas == 0 {
			w.replicas = 0 // its controller makes no ReplicaSet until it goes on
		}
	case *appsv1.ReplicaSet:
		w.kind, selector, w.template = "ReplicaSet", o.Spec.Selector, &o.Spec.Template
		status, ready = o.Status, o.Status.ReadyReplicas
		w.setReplicas(o.Spec.Replicas)
	case *corev1.ReplicationController:
		w.kind, w.template = "ReplicationController", o.Spec.Template
		status, ready = o.Status, o.Status.ReadyReplicas
		w.setReplicas(o.Spec.Replicas)
		selector = &metav1.LabelSelector{MatchLabels: o.Spec.Selector}
		if len(o.Spec.Selector) == 0 {
			selector.MatchLabels = o.Spec.Template.Labels
		}
	case *appsv1.StatefulSet:
		w.kind, selector, w.template = "StatefulSet", o.Spec.Selector, &o.Spec.Template
		status, ready = o.Status, o.Status.ReadyReplicas
		w.setReplicas(o.Spec.Replicas)
		w.serviceName = o.Spec.ServiceName
		w.anew = o.Spec.UpdateStrategy.Type != appsv1.OnDeleteStatefulSetStrategyType
		if o.Spec.Ordinals != nil {
			w.first = o.Spec.Ordinals.Start
		}
	case *appsv1.DaemonSet: // for one node
		w.kind, selector, w.template = "DaemonSet", o.Spec.Selector, &o.Spec.Template
		status, ready = o.Status, o.Status.NumberReady
		w.anew = o.Spec.UpdateStrategy.Type != appsv1.OnDeleteDaemonSetStrategyType
	case *batchv1.Job:
		w.kind, selector, w.template = "Job", o.Spec.Selector, &o.Spec.Template
		status, ready = o.Status, object.Value(o.Status.Ready)
		w.replicas = activePods(o)
		w.indexed = object.Value(o.Spec.CompletionMode) == batchv1.IndexedCompletion
	default:
		return nil
	}
	w.selector, _ = metav1.LabelSelectorAsSelector(selector) // it is valid, and that of no selector selects nothing
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

// activePods are as many pods as a Job has at a time, as long as none of them ends.
func activePods(o *batchv1.Job) int32 {
	if object.Value(o.Spec.Suspend) || o.Status.CompletionTime != nil {
		return 0
	}
	n := int32(1)
	if o.Spec.Parallelism != nil {
		n = *o.Spec.Parallelism
	}
	if o.Spec.Completions != nil {
		n = min(n, *o.Spec.Completions-o.Status.Succeeded)
	}
	for _, c := range o.Status.Conditions {
		if c.Type == batchv1.JobFailed && c.Status == corev1.ConditionTrue {
			return 0
		}
	}
	return max(n, 0)
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
// `kubectl get -o yaml`, has those; and it adopts what it selects and nobody owns.
func (c *controlPlane) makePods() {
	owned := map[id]bool{} // workloads that own what is written
	own := func(o metav1.Object) {
		if r := metav1.GetControllerOf(o); r != nil {
			owned[id{r.Kind, object.Key{Namespace: o.GetNamespace(), Name: r.Name}}] = true
		}
	}
	for _, o := range c.pods {
		own(o)
	}
	for _, w := range c.workloads {
		own(w)
	}
	c.adoptReplicaSets()
	adopted := map[*corev1.Pod]bool{}
	for _, w := range c.workloads {
		if owned[id{w.kind, object.KeyOf(w)}] {
			continue
		}
		if words := w.impossible(); words != "" {
			c.report(w.faultIn(title(w.kind, object.KeyOf(w)) + " has no pods: " + words))
			continue
		}
		c.makePodsOf(w, c.adopt(w, adopted))
	}
}

// makePodsOf makes the pods that a workload has not adopted.
func (c *controlPlane) makePodsOf(w *workload, adopted int32) {
	numbered := w.kind == "StatefulSet"
	for i := range w.replicas {
		if !numbered && i < adopted {
			continue
		}
		o := w.pod(i)
		name := id{"Pod", object.KeyOf(o)}
		if _, exists := c.written[name]; !exists {
			c.written[name] = manifest{}
			c.pods = append(c.pods, o)
		}
	}
}

// adoptReplicaSets lets each Deployment have the ReplicaSets that it selects and nobody owns: it makes pods of its own
// template, as many as it wants, and none of theirs are left.
func (c *controlPlane) adoptReplicaSets() {
	for _, d := range c.workloads {
		if d.kind != "Deployment" {
			continue
		}
		for _, w := range c.workloads {
			if w.kind == "ReplicaSet" && w.GetNamespace() == d.GetNamespace() && metav1.GetControllerOf(w) == nil &&
				d.selector.Matches(labels.Set(w.GetLabels())) {
				w.replicas = 0
			}
		}
	}
}

// adopt takes the pods that a workload selects and nobody owns, and counts them. What it has too many of goes, the last
// names first. StatefulSets and DaemonSets roll out their template, so that pods of another origin are replaced; those
// whose addresses are written have come out of that.
func (c *controlPlane) adopt(w *workload, adopted map[*corev1.Pod]bool) (count int32) {
	if w.kind == "Deployment" {
		return 0 // its ReplicaSet selects its own pods only
	}
	var own []*corev1.Pod
	for _, o := range c.pods {
		if o.Namespace == w.GetNamespace() && !adopted[o] && metav1.GetControllerOf(o) == nil && !ended(o) &&
			o.DeletionTimestamp == nil && w.selector.Matches(labels.Set(o.Labels)) && w.names(o.Name) {
			own = append(own, o)
		}
	}
	slices.SortFunc(own, func(a, b *corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })
	for _, o := range own {
		adopted[o] = true
		if count == w.replicas || w.anew && len(object.PodIPs(o)) == 0 {
			c.dropPod(o)
		} else {
			count++
		}
	}
	return count
}

// names reports whether a workload's pod can have a name: that of a StatefulSet's ends in its ordinal.
func (w *workload) names(pod string) bool {
	if w.kind != "StatefulSet" {
		return true
	}
	ordinal, ok := strings.CutPrefix(pod, w.GetName()+"-")
	n, err := strconv.ParseInt(ordinal, 10, 32)
	return ok && err == nil && int32(n) >= w.first && int32(n) < w.first+w.replicas
}

func (c *controlPlane) dropPod(o *corev1.Pod) {
	c.pods = slices.DeleteFunc(c.pods, func(p *corev1.Pod) bool { return p == o })
	delete(c.written, id{"Pod", object.KeyOf(o)})
}

// maxStatefulSetName is what leaves room for a revision's ten digits in a label (controller-revision-hash).
const maxStatefulSetName = 63 - len("-0123456789")

// impossible is why no pods can be made, though an API server takes the workload; "" when they can.
func (w *workload) impossible() string {
	last := w.pod(max(w.replicas-1, 0))
	switch {
	case w.replicas > maxReplicas:
		return fmt.Sprintf("replicas: \"%d\" is more than %d, the most that are made here", w.replicas, maxReplicas)
	case w.kind == "StatefulSet" && len(w.GetName()) > maxStatefulSetName:
		return fmt.Sprintf("name %q is longer than %d characters, and no label has room for it and a revision",
			w.GetName(), maxStatefulSetName)
	case w.kind == "StatefulSet" && !object.ValidLabel(last.Name):
		return fmt.Sprintf("name %q makes pods such as %q, which is not a DNS label", w.GetName(), last.Name)
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
	case "Job":
		o.Labels["job-name"], o.Labels[batchv1.JobNameLabel] = w.GetName(), w.GetName()
		o.Name = generateName(w.GetName(), ordinal, w.GetNamespace())
		if w.indexed {
			o.Spec.Hostname = w.GetName() + "-" + ordinal
			o.Name = generateName(o.Spec.Hostname, ordinal, w.GetNamespace())
			o.Labels[batchv1.JobCompletionIndexAnnotation] = ordinal
		}
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
