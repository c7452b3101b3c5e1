package manifests

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/clusterdns/clusterdns/watch/object"
)

var dnsPolicies = []corev1.DNSPolicy{
	"",
	corev1.DNSClusterFirstWithHostNet,
	corev1.DNSClusterFirst,
	corev1.DNSDefault,
	corev1.DNSNone,
}

// validatePod is about what names come from in a pod's specification, and its containers.
func validatePod(s *corev1.PodSpec, path *field.Path) (list field.ErrorList) {
	list = append(list, label(path.Child("hostname"), s.Hostname)...)
	list = append(list, label(path.Child("subdomain"), s.Subdomain)...)
	list = append(list, validateOverride(s, path.Child("hostnameOverride"))...)
	list = append(list, oneOf(path.Child("dnsPolicy"), s.DNSPolicy, dnsPolicies)...)
	if s.DNSPolicy == corev1.DNSNone && (s.DNSConfig == nil || len(s.DNSConfig.Nameservers) == 0) {
		at := path.Child("dnsConfig", "nameservers")
		list = append(list, field.Required(at, "must provide at least one DNS nameserver when `dnsPolicy` is None"))
	}
	if s.NodeName != "" {
		list = append(list, nodeName(path.Child("nodeName"), &s.NodeName)...)
	}
	if len(s.Containers) == 0 {
		list = append(list, field.Required(path.Child("containers"), "a pod has one at least"))
	}
	names := duplicates[string]{}
	list = append(list, validateContainers(s.Containers, path.Child("containers"), names)...)
	return append(list, validateContainers(s.InitContainers, path.Child("initContainers"), names)...)
}

func validateOverride(s *corev1.PodSpec, at *field.Path) (list field.ErrorList) {
	name := s.HostnameOverride
	if name == nil {
		return nil
	}
	if object.Value(s.SetHostnameAsFQDN) {
		list = append(list, field.Forbidden(at, "may not be specified when setHostnameAsFQDN is true"))
	}
	if s.HostNetwork {
		list = append(list, field.Forbidden(at, "may not be specified when hostNetwork is true"))
	}
	if len(*name) > 64 {
		list = append(list, field.TooLong(at, *name, 64))
	}
	return append(list, each(at, *name, utilvalidation.IsDNS1123Subdomain(*name))...)
}

func validateContainers(all []corev1.Container, path *field.Path, names duplicates[string]) (list field.ErrorList) {
	for i := range all {
		c, at := &all[i], path.Index(i)
		if c.Name == "" {
			list = append(list, field.Required(at.Child("name"), "name the container"))
		} else {
			list = append(list, label(at.Child("name"), c.Name)...)
			list = append(list, names.add(at.Child("name"), c.Name)...)
		}
		if strings.TrimSpace(c.Image) == "" {
			list = append(list, field.Required(at.Child("image"), "the image of the container"))
		}
		list = append(list, validateContainerPorts(c.Ports, at.Child("ports"))...)
	}
	return list
}

func validateContainerPorts(ports []corev1.ContainerPort, path *field.Path) (list field.ErrorList) {
	names := duplicates[string]{}
	for i := range ports {
		p, at := &ports[i], path.Index(i)
		if p.Name != "" {
			list = append(list, each(at.Child("name"), p.Name, utilvalidation.IsValidPortName(p.Name))...)
			list = append(list, names.add(at.Child("name"), p.Name)...)
		}
		list = append(list, number(at.Child("containerPort"), p.ContainerPort)...)
		if p.HostPort != 0 {
			list = append(list, number(at.Child("hostPort"), p.HostPort)...)
		}
		list = append(list, oneOf(at.Child("protocol"), p.Protocol, protocols)...)
	}
	return list
}

// validateWorkload is about an object that makes pods.
func validateWorkload(o metav1.Object) field.ErrorList {
	switch o := o.(type) {
	case *appsv1.Deployment:
		return slices.Concat(notNegative(spec.Child("replicas"), o.Spec.Replicas), validateStrategy(o),
			notNegative(spec.Child("minReadySeconds"), &o.Spec.MinReadySeconds),
			notNegative(spec.Child("revisionHistoryLimit"), o.Spec.RevisionHistoryLimit),
			validateSelector(o.Spec.Selector, &o.Spec.Template, onlyAlways))
	case *appsv1.ReplicaSet:
		return slices.Concat(notNegative(spec.Child("replicas"), o.Spec.Replicas),
			notNegative(spec.Child("minReadySeconds"), &o.Spec.MinReadySeconds),
			validateSelector(o.Spec.Selector, &o.Spec.Template, onlyAlways))
	case *appsv1.DaemonSet:
		return validateSelector(o.Spec.Selector, &o.Spec.Template, onlyAlways)
	case *appsv1.StatefulSet:
		return validateStatefulSet(o)
	case *corev1.ReplicationController:
		return validateReplicationController(o)
	case *batchv1.Job:
		return validateJob(o)
	}
	return nil
}

// Restart policies that a template may have; "" is Always.
var (
	onlyAlways  = []corev1.RestartPolicy{"", corev1.RestartPolicyAlways}
	neverAlways = []corev1.RestartPolicy{corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever}
)

var template = spec.Child("template")

// validateSelector is about a selector, which has to find the pods of the template, and the template.
func validateSelector(
	selector *metav1.LabelSelector,
	t *corev1.PodTemplateSpec,
	policies []corev1.RestartPolicy,
) (list field.ErrorList) {
	path := spec.Child("selector")
	switch {
	case selector == nil:
		list = append(list, field.Required(path, "the labels of the template's pods"))
	case len(selector.MatchLabels)+len(selector.MatchExpressions) == 0:
		list = append(list, field.Invalid(path, "{}", "is empty: write the labels of the template's pods"))
	default:
		list = append(list, metavalidation.ValidateLabelSelector(selector, metavalidation.LabelSelectorValidationOptions{}, path)...)
	}
	if matches, err := metav1.LabelSelectorAsSelector(selector); err == nil && len(list) == 0 {
		list = append(list, finds(matches, t)...)
	}
	return append(list, validateTemplate(t, policies)...)
}

// finds refuses labels that the selector does not find.
func finds(selector labels.Selector, t *corev1.PodTemplateSpec) field.ErrorList {
	if selector.Matches(labels.Set(t.Labels)) {
		return nil
	}
	return field.ErrorList{field.Invalid(template.Child("metadata", "labels"), labels.Set(t.Labels).String(),
		"`selector` does not match template `labels`")}
}

func validateTemplate(t *corev1.PodTemplateSpec, policies []corev1.RestartPolicy) field.ErrorList {
	return slices.Concat(
		metavalidation.ValidateLabels(t.Labels, template.Child("metadata", "labels")),
		validatePod(&t.Spec, template.Child("spec")),
		oneOf(template.Child("spec", "restartPolicy"), t.Spec.RestartPolicy, policies),
	)
}

// validateStrategy is about what of a Deployment goes on without end, or never.
func validateStrategy(o *appsv1.Deployment) (list field.ErrorList) {
	types := []appsv1.DeploymentStrategyType{"", appsv1.RecreateDeploymentStrategyType, appsv1.RollingUpdateDeploymentStrategyType}
	list = append(list, oneOf(spec.Child("strategy", "type"), o.Spec.Strategy.Type, types)...)
	if r := o.Spec.Strategy.RollingUpdate; r != nil {
		path := spec.Child("strategy", "rollingUpdate")
		switch {
		case o.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType:
			list = append(list, field.Forbidden(path, "may not be specified when strategy `type` is 'Recreate'"))
		case isZero(r.MaxUnavailable) && isZero(r.MaxSurge):
			list = append(list, field.Invalid(path.Child("maxUnavailable"), r.MaxUnavailable.String(), "may not be 0 when `maxSurge` is 0"))
		}
	}
	if d := o.Spec.ProgressDeadlineSeconds; d != nil && *d <= o.Spec.MinReadySeconds {
		list = append(list, field.Invalid(spec.Child("progressDeadlineSeconds"), *d, "must be greater than minReadySeconds"))
	}
	return list
}

// isZero reports whether a number or percentage is given as none; nil stands for the default.
func isZero(v *intstr.IntOrString) bool {
	return v != nil && (*v == intstr.FromInt32(0) || *v == intstr.FromString("0%"))
}

// validateStatefulSet: the pods have hostname and subdomain from it, whatever the template has.
func validateStatefulSet(o *appsv1.StatefulSet) (list field.ErrorList) {
	s := o.Spec
	s.Template.Spec.Hostname, s.Template.Spec.Subdomain = "", ""
	list = append(list, notNegative(spec.Child("replicas"), s.Replicas)...)
	list = append(list, label(spec.Child("serviceName"), s.ServiceName)...)
	if s.Ordinals != nil {
		list = append(list, notNegative(spec.Child("ordinals", "start"), &s.Ordinals.Start)...)
	}
	managements := []appsv1.PodManagementPolicyType{"", appsv1.OrderedReadyPodManagement, appsv1.ParallelPodManagement}
	list = append(list, oneOf(spec.Child("podManagementPolicy"), s.PodManagementPolicy, managements)...)
	updates := []appsv1.StatefulSetUpdateStrategyType{"", appsv1.RollingUpdateStatefulSetStrategyType, appsv1.OnDeleteStatefulSetStrategyType}
	list = append(list, oneOf(spec.Child("updateStrategy", "type"), s.UpdateStrategy.Type, updates)...)
	return append(list, validateSelector(s.Selector, &s.Template, onlyAlways)...)
}

// validateReplicationController: without a selector it selects by the labels of its template.
func validateReplicationController(o *corev1.ReplicationController) (list field.ErrorList) {
	list = append(list, notNegative(spec.Child("replicas"), o.Spec.Replicas)...)
	if o.Spec.Template == nil {
		return append(list, field.Required(template, "the pods that it makes"))
	}
	selector := o.Spec.Selector
	if len(selector) == 0 {
		selector = o.Spec.Template.Labels
	}
	if len(selector) == 0 {
		list = append(list, field.Required(spec.Child("selector"), "the labels of the template's pods"))
	}
	list = append(list, finds(labels.SelectorFromSet(selector), o.Spec.Template)...)
	return append(list, validateTemplate(o.Spec.Template, onlyAlways)...)
}

// maxParallelism is how many pods an Indexed Job may have at a time.
const maxParallelism = 100000

func validateJob(o *batchv1.Job) (list field.ErrorList) {
	s := &o.Spec
	list = append(list, notNegative(spec.Child("parallelism"), s.Parallelism)...)
	list = append(list, notNegative(spec.Child("completions"), s.Completions)...)
	list = append(list, notNegative(spec.Child("backoffLimit"), s.BackoffLimit)...)
	list = append(list, notNegative(spec.Child("ttlSecondsAfterFinished"), s.TTLSecondsAfterFinished)...)
	modes := []batchv1.CompletionMode{"", batchv1.NonIndexedCompletion, batchv1.IndexedCompletion}
	list = append(list, oneOf(spec.Child("completionMode"), object.Value(s.CompletionMode), modes)...)
	if object.Value(s.CompletionMode) == batchv1.IndexedCompletion {
		last := fmt.Sprintf("%s-%d", o.Name, max(object.Value(s.Completions)-1, 0))
		switch {
		case s.Completions == nil && s.Parallelism != nil: // neither is one of each
			list = append(list, field.Required(spec.Child("completions"), "when completion mode is Indexed"))
		case object.Value(s.Completions) > 0 && !object.ValidLabel(last):
			list = append(list, field.Invalid(field.NewPath("metadata", "name"), o.Name,
				"makes pods with hostnames that are no DNS labels, such as "+last))
		}
		if n := object.Value(s.Parallelism); n > maxParallelism {
			list = append(list, field.Invalid(spec.Child("parallelism"), n,
				fmt.Sprintf("must be less than or equal to %d when completion mode is Indexed", maxParallelism)))
		}
	}
	if n := len(o.Name); n > content.LabelValueMaxLength {
		list = append(list, field.TooLong(field.NewPath("metadata", "name"), o.Name, content.LabelValueMaxLength))
	}
	if object.Value(s.ManualSelector) {
		return append(list, validateSelector(s.Selector, &s.Template, neverAlways)...)
	}
	if s.Selector != nil {
		list = append(list, field.Invalid(spec.Child("selector"), "", "`selector` is generated: leave it out"))
	}
	return append(list, validateTemplate(&s.Template, neverAlways)...)
}
