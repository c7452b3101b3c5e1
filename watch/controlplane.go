package watch

//lint:file-ignore SA1019 Endpoints are deprecated, and still written by hand for services without a selector

import (
	"cmp"
	"encoding/json"
	"io/fs"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// reading is what a folder of manifests says, after the work that a control plane would do on it.
type reading struct {
	objects     objects
	allocations allocations
	faults      []fault        // in the order of files and lines
	passedOver  map[string]int // manifests of kinds that are not read, by kind
}

// readManifests reads files and stands in for the control plane as far as names need it: it gives addresses to services and pods, makes
// the pods of workloads, and builds slices. Nothing is scheduled or rolled out. What it makes depends on the files alone. A manifest that
// an API server would refuse is a fault and is left out, but for a service's existence without names; the others are served. An error means
// that nothing could be read.
func readManifests(files fs.FS, options Options) (reading, error) {
	filter, err := newFilter(options)
	if err != nil {
		return reading{}, err
	}
	c := &cluster{options: options, passedOver: map[string]int{}, implied: map[string]bool{metav1.NamespaceDefault: true},
		written: map[id]manifest{}, refused: map[key]*corev1.Service{}, source: map[metav1.Object]manifest{}}
	if err := c.read(files); err != nil {
		return reading{}, err
	}
	addresses := newAllocator()
	c.refuseConflicts()
	c.holdGiven(addresses)
	c.giveClusterIPs(addresses)
	c.makePods()
	c.givePodIPs(addresses)
	c.mirrorEndpoints()
	c.buildSlices()
	slices.SortStableFunc(c.faults, func(a, b fault) int { return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.line, b.line)) })
	return reading{c.strip(filter), addresses.current, c.faults, c.passedOver}, nil
}

// id names an object.
type id struct {
	kind string
	key
}

// cluster is the objects of one reading, in the order they are written, and then of the control plane's work on them.
type cluster struct {
	options    Options
	faults     []fault
	passedOver map[string]int
	implied    map[string]bool // namespaces that objects are in
	written    map[id]manifest
	refused    map[key]*corev1.Service    // they exist, without names
	source     map[metav1.Object]manifest // of objects that are written; those that are made have none

	namespaces []*corev1.Namespace
	services   []*corev1.Service
	imports    []*serviceImport
	endpoints  []*corev1.Endpoints
	slices     []*discoveryv1.EndpointSlice
	pods       []*corev1.Pod
	workloads  []*workload
}

// read takes in every file.
func (c *cluster) read(files fs.FS) error {
	names, err := manifestFiles(files)
	if err != nil {
		return err
	}
	decoder := newManifestDecoder()
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			c.faults = append(c.faults, fault{name, 1, err.Error()})
			continue
		}
		documents, faults := splitDocuments(name, text)
		c.faults = append(c.faults, faults...)
		for _, d := range documents {
			c.readDocument(decoder, d)
		}
	}
	return nil
}

func (c *cluster) readDocument(decoder *manifestDecoder, d *document) {
	manifests, f := d.manifests()
	c.report(f)
	for _, m := range manifests {
		o, kind, f := decoder.decode(m)
		c.report(f)
		if o != nil {
			c.take(m, kind, o.(metav1.Object))
		} else if f == nil {
			c.passOver(m, kind)
		}
	}
	d.root = nil // the tree is large, and its next use rare
}

// passOver counts a manifest of a kind that is not read. The namespace that it is in exists.
func (c *cluster) passOver(m manifest, kind string) {
	c.passedOver[kind]++
	var o metav1.PartialObjectMetadata
	if json.Unmarshal(m.json, &o) == nil && validLabel(o.Namespace) {
		c.implied[o.Namespace] = true
	}
}

func (c *cluster) report(f *fault) {
	if f != nil {
		c.faults = append(c.faults, *f)
	}
}

// take puts an object in its place, when an API server would.
func (c *cluster) take(m manifest, kind string, o metav1.Object) {
	if kind == "Namespace" {
		o.SetNamespace("")
	} else if o.GetNamespace() == "" {
		o.SetNamespace(metav1.NamespaceDefault)
	}
	name := id{kind, key{o.GetNamespace(), o.GetName()}}
	if first, exists := c.written[name]; exists {
		c.report(m.fault("metadata.name", problem{kind, name.key, "it is written already, at " + first.fault("metadata.name", "").place()}.String()))
		return
	}
	if words := c.refuse(o); len(words) > 0 {
		for _, w := range words {
			c.report(m.faultIn(w))
		}
		if o, ok := o.(*corev1.Service); ok {
			c.leaveOut(o)
		}
		return
	}
	o.SetResourceVersion("") // of another cluster, where `kubectl get -o yaml` wrote it
	c.written[name], c.source[o] = m, m
	if o.GetNamespace() != "" {
		c.implied[o.GetNamespace()] = true
	}
	switch o := o.(type) {
	case *corev1.Namespace:
		c.namespaces = append(c.namespaces, o)
	case *corev1.Service:
		c.services = append(c.services, o)
		delete(c.refused, name.key)
	case *serviceImport:
		c.imports = append(c.imports, o)
	case *corev1.Endpoints:
		c.endpoints = append(c.endpoints, o)
	case *discoveryv1.EndpointSlice:
		c.slices = append(c.slices, o)
		c.reportSlice(m, o)
	case *corev1.Pod:
		c.pods = append(c.pods, o)
	default:
		c.workloads = append(c.workloads, newWorkload(o, m))
	}
}

// reportSlice says what of a slice gives no names, though an API server takes it: a topology zone, and the id of its cluster.
func (c *cluster) reportSlice(m manifest, o *discoveryv1.EndpointSlice) {
	for _, options := range []Options{{Zonal: c.options.Zonal}, {ServiceImports: true}} {
		_, list := stripSlice(o, options)
		for _, p := range list {
			c.report(m.faultIn(p.words))
		}
	}
}

// leaveOut has a refused service exist without names, for the one who asks for it is to hear why. Without a valid name it cannot be asked for.
func (c *cluster) leaveOut(o *corev1.Service) {
	if s, _ := stripService(o); s != nil {
		c.refused[s.key] = o
		c.implied[s.namespace] = true
	}
}

// allNamespaces are those that are written, and those that objects are in.
func (c *cluster) allNamespaces() []*corev1.Namespace {
	for name := range c.implied {
		if _, exists := c.written[id{"Namespace", key{name: name}}]; !exists {
			c.namespaces = append(c.namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
		}
	}
	for _, o := range c.namespaces {
		if o.Labels == nil {
			o.Labels = map[string]string{}
		}
		o.Labels[corev1.LabelMetadataName] = o.Name // as the API server does, for selectors by name
	}
	return c.namespaces
}

// filter is what options leave of the objects, as selectors at an API server would.
type filter struct {
	namespaces map[string]bool // nil for all
	labels     labels.Selector
	options    Options
}

func newFilter(options Options) (filter, error) {
	f := filter{labels: labels.Everything(), options: options}
	if options.Namespaces != "" {
		f.namespaces = map[string]bool{}
		for name := range strings.SplitSeq(options.Namespaces, ",") {
			f.namespaces[name] = true
		}
	}
	if options.Labels != "" {
		var err error
		if f.labels, err = labels.Parse(options.Labels); err != nil {
			return filter{}, err
		}
	}
	return f, nil
}

func (f filter) keeps(o metav1.Object) bool {
	return (f.namespaces == nil || f.namespaces[o.GetNamespace()]) && f.labels.Matches(labels.Set(o.GetLabels()))
}

// strip is the end of the control plane: the objects as both kinds of source have them, in the order of their names.
func (c *cluster) strip(f filter) (all objects) {
	for _, o := range c.services {
		if f.keeps(o) && !f.options.ServiceImports {
			s, _ := stripService(o)
			all.services = append(all.services, s)
		}
	}
	for _, o := range c.refused {
		if f.keeps(o) && !f.options.ServiceImports {
			s, _ := stripService(o)
			all.services = append(all.services, &service{key: s.key, flaw: cmp.Or(s.flaw, refused)})
		}
	}
	for _, o := range c.imports {
		if f.keeps(o) && f.options.ServiceImports {
			s, _ := stripImport(o)
			all.services = append(all.services, s)
		}
	}
	for _, o := range c.slices {
		if f.keeps(o) && !f.options.NoEndpoints {
			if s, _ := stripSlice(o, f.options); s != nil {
				all.slices = append(all.slices, s)
			}
		}
	}
	for _, o := range c.pods {
		if f.keeps(o) && f.options.VerifyPods {
			if p, _ := stripPod(o); p != nil {
				all.pods = append(all.pods, p)
			}
		}
	}
	for _, o := range c.allNamespaces() {
		if f.namespaces == nil || f.namespaces[o.Name] {
			if n, _ := stripNamespace(o, f.options); n != nil {
				all.namespaces = append(all.namespaces, n)
			}
		}
	}
	slices.SortFunc(all.services, func(a, b *service) int { return compareKeys(a.key, b.key) })
	slices.SortFunc(all.slices, func(a, b *slice) int { return compareKeys(a.key, b.key) })
	slices.SortFunc(all.pods, func(a, b *pod) int { return compareKeys(a.key, b.key) })
	slices.SortFunc(all.namespaces, func(a, b *namespace) int { return cmp.Compare(a.name, b.name) })
	return all
}

func compareKeys(a, b key) int {
	return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name))
}
