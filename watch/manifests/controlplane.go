package manifests

//lint:file-ignore SA1019 Endpoints are deprecated, and still written by hand for services without a selector

import (
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
)

// Reading is what a folder of manifests has, after the work that a control plane would do on it.
type Reading struct {
	Objects   map[zones.Kinds][]object.Object // stripped, in the order of their names
	Ignored   map[string]int                  // manifests of kinds that names do not come from, by kind
	NewFaults int                             // faults that the reading before did not have

	allocations allocations
	faults      []fault // in the order of files and lines
	remarks     []fault // what is no mistake, and seldom meant; in the same order
}

// readManifests reads files and stands in for the control plane as far as names need it: it gives addresses to services
// and pods, makes the pods of workloads, and builds slices. Nothing is scheduled or rolled out. What it makes depends
// on the files alone. A manifest that an API server would reject is a fault and is left out; only a service then
// exists, without names. The others are served. An error means that nothing could be read.
func readManifests(files fs.FS, selection object.Selection) (Reading, error) {
	filter, err := newFilter(selection)
	if err != nil {
		return Reading{}, err
	}
	c := &controlPlane{
		selection: selection,
		ignored:   map[string]int{},
		implied:   map[string]bool{metav1.NamespaceDefault: true},
		written:   map[id]manifest{},
		rejected:  map[object.Key]*corev1.Service{},
		source:    map[metav1.Object]manifest{},
	}
	if err := c.read(files); err != nil {
		return Reading{}, err
	}
	addresses := newAllocator()
	c.addOwn()
	c.rejectConflicts()
	c.holdGiven(addresses)
	c.giveClusterIPs(addresses)
	c.makePods()
	c.givePodIPs(addresses)
	c.mirrorEndpoints()
	c.buildSlices()
	c.remarkServiceNames()
	for _, list := range [][]fault{c.faults, c.remarks} {
		slices.SortStableFunc(list, func(a, b fault) int {
			return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.line, b.line))
		})
	}
	return Reading{Objects: c.strip(filter), Ignored: c.ignored, allocations: addresses.current, faults: c.faults,
		remarks: c.remarks}, nil
}

// id names an object.
type id struct {
	kind string
	object.Key
}

// controlPlane is the objects of one reading, in the order they are written, and then of its own work on them.
type controlPlane struct {
	selection object.Selection
	faults    []fault
	remarks   []fault
	ignored   map[string]int
	implied   map[string]bool // namespaces that objects are in
	written   map[id]manifest
	rejected  map[object.Key]*corev1.Service // they exist, without names
	source    map[metav1.Object]manifest     // of objects that are written; those that are made have none

	namespaces []*corev1.Namespace
	services   []*corev1.Service
	endpoints  []*corev1.Endpoints
	slices     []*discoveryv1.EndpointSlice
	pods       []*corev1.Pod
	workloads  []*workload
	others     []metav1.Object // with which it has nothing to do
}

// read takes in every file.
func (c *controlPlane) read(files fs.FS) error {
	names, buildFiles, err := manifestFiles(files)
	if err != nil {
		return err
	}
	names = c.withoutUnbuilt(files, names, buildFiles)
	from := newDecoder()
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			c.faults = append(c.faults, fault{name, 1, err.Error()})
			continue
		}
		documents, faults := splitDocuments(name, text)
		c.faults = append(c.faults, faults...)
		for _, d := range documents {
			if !c.readDocument(from, d) {
				break
			}
		}
	}
	return nil
}

// readDocument takes in a document. It is false for a template: the rest of the file is one too.
func (c *controlPlane) readDocument(from *decoder, d *document) bool {
	manifests, f := d.manifests()
	c.report(f)
	for _, m := range manifests {
		o, kind, faults := from.decode(m)
		for _, f := range faults {
			c.report(f)
		}
		if o != nil {
			c.take(m, kind, o.(metav1.Object))
		} else if len(faults) == 0 {
			c.ignore(m, kind)
		}
	}
	d.root = nil // the tree is large, and its next use rare
	return f == nil || d.templateFault() == nil
}

// ignore counts a manifest of a kind that is not read. The namespace that it is in exists.
func (c *controlPlane) ignore(m manifest, kind string) {
	c.ignored[kind]++
	var o metav1.PartialObjectMetadata
	if json.Unmarshal(m.json, &o) == nil && object.ValidLabel(o.Namespace) {
		c.implied[o.Namespace] = true
	}
}

func (c *controlPlane) report(f *fault) {
	if f != nil {
		c.faults = append(c.faults, *f)
	}
}

// take puts an object in its place, when an API server would.
func (c *controlPlane) take(m manifest, kind string, o metav1.Object) {
	if kind == "Namespace" || kind == "Node" {
		o.SetNamespace("")
	} else if o.GetNamespace() == "" {
		o.SetNamespace(metav1.NamespaceDefault)
	}
	name := id{kind, object.KeyOf(o)}
	if first, exists := c.written[name]; exists {
		c.report(m.refused("metadata.name", kind, name.Key,
			errors.New("it is written already, at "+first.fault("metadata.name", "").place())))
		return
	}
	if list := validate(o); len(list) > 0 {
		c.refuse(m, kind, o, list)
		return
	}
	c.reportUnread(m, o)
	o.SetResourceVersion("") // of another cluster, where `kubectl get -o yaml` wrote it
	c.written[name], c.source[o] = m, m
	if o.GetNamespace() != "" {
		c.implied[o.GetNamespace()] = true
	}
	c.add(m, o)
}

// add takes an object that is valid.
func (c *controlPlane) add(m manifest, o metav1.Object) {
	switch o := o.(type) {
	case *corev1.Namespace:
		c.namespaces = append(c.namespaces, o)
	case *corev1.Service:
		c.services = append(c.services, o)
		delete(c.rejected, object.KeyOf(o))
	case *corev1.Endpoints:
		c.endpoints = append(c.endpoints, o)
	case *discoveryv1.EndpointSlice:
		c.slices = append(c.slices, o)
	case *corev1.Pod:
		c.pods = append(c.pods, o)
	default:
		if w := newWorkload(o, m); w != nil {
			c.workloads = append(c.workloads, w)
		} else {
			c.others = append(c.others, o)
		}
	}
}

// refuse leaves out an object, and says why. A service exists all the same, without names, so that an answer can explain
// why there are none; one without a valid name cannot be queried.
func (c *controlPlane) refuse(m manifest, kind string, o metav1.Object, list field.ErrorList) {
	for _, why := range list {
		c.report(m.refused(why.Field, kind, object.KeyOf(o), why))
	}
	if o, ok := o.(*corev1.Service); ok {
		c.reject(o)
	}
}

// reportUnread reports what of an object gives no names, though an API server takes it: a port that is none, a topology
// zone, the id of a cluster.
func (c *controlPlane) reportUnread(m manifest, o metav1.Object) {
	selections := []object.Selection{
		{Zonal: c.selection.Zonal, External: c.selection.External, Hosts: c.selection.Hosts, Nearest: c.selection.Nearest,
			Who: c.selection.Who},
		{ServiceImports: true},
	}
	var said []string
	for _, r := range object.Resources {
		for _, selection := range selections {
			_, list, _ := r.Strip(o, selection)
			for _, p := range list {
				if !slices.Contains(said, p.Words) {
					said = append(said, p.Words)
					c.report(m.faultIn(p.Words))
				}
			}
		}
	}
}

// reject lets a service exist without names.
func (c *controlPlane) reject(o *corev1.Service) {
	if s, _ := object.StripService(o); s != nil {
		c.rejected[s.Key] = o
		c.implied[s.Namespace] = true
	}
}

// allNamespaces are those that are written, and those that objects are in.
func (c *controlPlane) allNamespaces() []*corev1.Namespace {
	for name := range c.implied {
		if _, exists := c.written[id{"Namespace", object.Key{Name: name}}]; !exists {
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

// filter is a selection, as the selectors of requests to an API server have it.
type filter struct {
	object.Selection
	namespaces map[string]bool // nil for all
	labels     labels.Selector
}

func newFilter(selection object.Selection) (*filter, error) {
	f := &filter{Selection: selection, labels: labels.Everything()}
	if selection.Namespaces != "" {
		f.namespaces = map[string]bool{}
		for name := range strings.SplitSeq(selection.Namespaces, ",") {
			f.namespaces[name] = true
		}
	}
	if selection.Labels != "" {
		var err error
		if f.labels, err = labels.Parse(selection.Labels); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// keeps reports whether an object of a resource is selected. A namespace is so by its own name.
func (f *filter) keeps(r *object.Resource, o metav1.Object) bool {
	namespace := cmp.Or(o.GetNamespace(), o.GetName())
	return (f.namespaces == nil || f.namespaces[namespace]) && (!r.Labelled || f.labels.Matches(labels.Set(o.GetLabels())))
}

// strip is the end of the control plane: what is selected, as a source that watches an API server has it.
func (c *controlPlane) strip(f *filter) map[zones.Kinds][]object.Object {
	decoded, all := c.all(), map[zones.Kinds][]object.Object{}
	for i := range object.Resources {
		r := &object.Resources[i]
		if !r.When(f.Selection) {
			continue
		}
		for _, o := range decoded {
			if kept, _, ok := r.Strip(o, f.Selection); ok && kept != nil && f.keeps(r, o) {
				all[r.Kind] = append(all[r.Kind], kept)
			}
		}
		for _, o := range c.rejected {
			if kept, _, ok := r.Strip(o, f.Selection); ok && f.keeps(r, o) {
				all[r.Kind] = append(all[r.Kind], withoutNames(kept.(*object.Service)))
			}
		}
	}
	for _, list := range all {
		slices.SortFunc(list, func(a, b object.Object) int {
			first, _ := a.About()
			second, _ := b.About()
			return compareKeys(first, second)
		})
	}
	return all
}

// withoutNames is a rejected service as it is served.
func withoutNames(s *object.Service) *object.Service {
	return &object.Service{Key: s.Key, Flaw: cmp.Or(s.Flaw, object.Rejected)}
}

// all are the objects that resources are made of.
func (c *controlPlane) all() []metav1.Object {
	return slices.Concat(asObjects(c.services), asObjects(c.slices), asObjects(c.pods), asObjects(c.allNamespaces()),
		c.others)
}

func asObjects[O metav1.Object](list []O) []metav1.Object {
	all := make([]metav1.Object, len(list))
	for i, o := range list {
		all[i] = o
	}
	return all
}

func compareKeys(a, b object.Key) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}
