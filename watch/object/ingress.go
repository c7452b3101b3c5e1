package object

import networkingv1 "k8s.io/api/networking/v1"

// Ingress is what is read of an Ingress (networking.k8s.io/v1).
type Ingress struct {
	Key
	Version string
	Names   []string // hosts of its rules that are served, in lower case; the first label may be *
	Outside Outside
}

// stripIngress keeps what is read of an Ingress; nil when it has no hosts or no address.
func stripIngress(o *networkingv1.Ingress, selection Selection) (*Ingress, []Problem) {
	wrong := Problems{kind: "ingress", Key: KeyOf(o)}
	h := &selection.Hosts
	if ignored(o) || h.IngressClasses != "" && !hasWord(h.IngressClasses, Value(o.Spec.IngressClassName)) {
		return nil, nil
	}
	i := &Ingress{Key: wrong.Key, Version: o.ResourceVersion}
	for _, rule := range o.Spec.Rules {
		if rule.Host != "" {
			i.Names = h.appendHost(i.Names, rule.Host, &wrong)
		}
	}
	for _, in := range o.Status.LoadBalancer.Ingress {
		i.Outside.add(in.IP, in.Hostname, &wrong)
	}
	if len(i.Names) == 0 || i.Outside.empty() {
		return nil, wrong.List
	}
	return i, wrong.List
}

// Size is about how many octets i takes; none if it is nil.
func (i *Ingress) Size() int {
	if i == nil {
		return 0
	}
	return 256 + len(i.Name) + len(i.Namespace) + len(i.Version) + i.Outside.Size() + textsSize(i.Names)
}

// textsSize is about how many octets texts take.
func textsSize(texts []string) (size int) {
	for _, text := range texts {
		size += 16 + len(text)
	}
	return size
}

// About implements Object.
func (i *Ingress) About() (Key, string) { return i.Key, i.Version }
