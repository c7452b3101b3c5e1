package explain

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/clusterdns/clusterdns/server/config"
	"github.com/clusterdns/clusterdns/zones"
)

// mostNear is how many near misses are told.
const mostNear = 5

// near looks for what may have been meant: the same service in another namespace, the nearest service or namespace,
// the nearest port or endpoint.
func (r *Report) near(q *Question, o object) {
	if o.service == "" {
		return
	}
	if q.Index == nil {
		r.Fix = cmp.Or(r.Fix, q.Elsewhere)
		return
	}
	snapshot := q.Index.Snapshot()
	services := q.services()
	if slices.Contains(services[o.namespace], o.service) {
		r.nearBelow(snapshot, o)
		return
	}
	if slices.Contains(services[o.service], o.namespace) {
		r.Near = []string{o.namespace + "." + o.service}
		r.Fix = "The service stands before its namespace: did you mean " + r.Near[0] + "?"
		return
	}
	var elsewhere []string
	for namespace, names := range services {
		if slices.Contains(names, o.service) {
			elsewhere = append(elsewhere, namespace)
		}
	}
	slices.Sort(elsewhere)
	for _, namespace := range elsewhere[:min(len(elsewhere), mostNear)] {
		r.Near = append(r.Near, o.service+"."+namespace)
	}
	if len(elsewhere) > 0 {
		r.Fix = fmt.Sprintf("%s exists in namespace %s: write %s", o.service, strings.Join(elsewhere[:min(len(elsewhere), mostNear)], ", "), r.Near[0])
		return
	}
	r.nearest(o, services)
}

// nearest is the nearest name of a service, in the namespace that was meant or one that is like it.
func (r *Report) nearest(o object, services map[string][]string) {
	candidates := []string{o.namespace}
	if services[o.namespace] == nil {
		candidates = config.Nearest(o.namespace, slices.Collect(maps.Keys(services)))
	}
	for _, namespace := range candidates {
		for _, name := range config.Nearest(o.service, services[namespace]) {
			r.Near = append(r.Near, name+"."+namespace)
		}
	}
	if len(r.Near) == 0 {
		for _, namespace := range slices.Sorted(maps.Keys(services)) {
			for _, name := range config.Nearest(o.service, services[namespace]) {
				r.Near = append(r.Near, name+"."+namespace)
			}
		}
	}
	if r.Near = r.Near[:min(len(r.Near), mostNear)]; len(r.Near) > 0 {
		r.Fix = "Did you mean " + strings.Join(r.Near, " or ") + "?"
		return
	}
	if r.Fix != "" {
		return
	}
	if names := services[o.namespace]; len(names) > 0 {
		r.Fix = "Services of namespace " + o.namespace + ": " + some(names) + "."
	} else if len(services) > 0 {
		r.Fix = "Namespaces with services: " + some(slices.Collect(maps.Keys(services))) + "."
	}
}

// some are the first of names, and how many others there are.
func some(names []string) string {
	names = slices.Sorted(slices.Values(names))
	if more := len(names) - mostNear; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:mostNear], ", "), more)
	}
	return strings.Join(names, ", ")
}

// servicesOf are the names of the services of each namespace that has some.
func servicesOf(index *zones.Index) map[string][]string {
	services := map[string][]string{}
	for s := range index.Snapshot().EachService {
		name, namespace := s.Names()
		services[namespace] = append(services[namespace], name)
	}
	return services
}

// nearBelow is the nearest port or endpoint of a service.
func (r *Report) nearBelow(snapshot *zones.Snapshot, o object) {
	if o.below == "" {
		return
	}
	s := recordsOf(snapshot, o)
	if s == nil {
		return
	}
	var text strings.Builder
	if s.WriteText(&text, "zone.", 0) != nil {
		return
	}
	var below []string
	for line := range strings.Lines(text.String()) {
		name, _, _ := strings.Cut(line, " ")
		if label, ok := strings.CutSuffix(name, "."+o.service+"."+o.namespace+".svc.zone."); ok && !slices.Contains(below, label) {
			below = append(below, label)
		}
	}
	for _, label := range config.Nearest(o.below, below) {
		r.Near = append(r.Near, label+"."+o.service+"."+o.namespace)
	}
	if r.Near = r.Near[:min(len(r.Near), mostNear)]; len(r.Near) > 0 {
		r.Fix = "Did you mean " + strings.Join(r.Near, " or ") + "?"
	} else if len(below) > 0 {
		r.Fix = "It has " + strings.Join(below[:min(len(below), mostNear)], ", ") + "."
	}
}
