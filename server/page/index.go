package page

import (
	"bytes"
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// Cluster is an index with the zone that it is served in.
type Cluster struct {
	Zone  string
	Index *zones.Index
}

// Bounds of an answer.
const (
	mostServices   = 200
	mostNamespaces = 1000
	mostRecords    = 500
	longestWord    = 253
)

// Services is the answer of /api/services: namespaces of a cluster, and services of one or of all of them.
type Services struct {
	Zones      []string    `json:"zones"` // that there are
	Zone       string      `json:"zone"`  // of the answer
	Namespaces []Namespace `json:"namespaces"`
	More       bool        `json:"moreNamespaces"` // than are listed
	Services   []Service   `json:"services"`
	Found      int         `json:"found"` // services, of which Services is a part
	From       int         `json:"from"`  // the index of the first
}

// Namespace is a namespace with services that were found.
type Namespace struct {
	Name     string `json:"name"`
	Services int    `json:"services"`
}

// Service is a service of a cluster.
type Service struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Why       string `json:"why,omitempty"` // it has no names
}

// services lists what has the word in its name, or in that of its namespace.
func (p *page) services(r *http.Request) (any, error) {
	q := newQuery(r, "zone", "namespace", "word", "from", "n")
	c := p.cluster(q)
	namespace, word := q.text("namespace", longestWord), strings.ToLower(q.text("word", longestWord))
	from, n := q.number("from", 0, 0, 1<<30), q.number("n", 50, 1, mostServices)
	if q.err != nil {
		return nil, q.err
	}
	answer := Services{Namespaces: []Namespace{}, Services: []Service{}, Zones: p.zones(), Zone: c.Zone, From: from}
	if c.Index == nil {
		return answer, nil
	}
	counts := map[string]int{}
	var all []Service
	for s := range c.Index.Snapshot().EachService {
		name, space := s.Names()
		if word != "" && !strings.Contains(name+"."+space, word) {
			continue
		}
		counts[space]++
		if namespace == "" || namespace == space {
			all = append(all, Service{name, space, s.Why()})
		}
	}
	slices.SortFunc(all, func(a, b Service) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	for name, services := range counts {
		answer.Namespaces = append(answer.Namespaces, Namespace{name, services})
	}
	slices.SortFunc(answer.Namespaces, func(a, b Namespace) int { return cmp.Compare(a.Name, b.Name) })
	answer.More = len(answer.Namespaces) > mostNamespaces
	answer.Namespaces = answer.Namespaces[:min(len(answer.Namespaces), mostNamespaces)]
	answer.Found = len(all)
	answer.Services = append(answer.Services, all[min(from, len(all)):min(from+n, len(all))]...)
	return answer, nil
}

// zones are the zones of the clusters.
func (p *page) zones() []string {
	all := []string{}
	for _, c := range p.Clusters() {
		all = append(all, c.Zone)
	}
	return all
}

// cluster is the one with the zone that q has, or the first one.
func (p *page) cluster(q *query) Cluster {
	all, zone := p.Clusters(), q.text("zone", longestWord)
	for _, c := range all {
		if zone == "" || zone == c.Zone {
			return c
		}
	}
	if zone != "" {
		q.fail("No cluster has the zone %q.", cut(zone))
	}
	return Cluster{}
}

// Records is the answer of /api/service.
type Records struct {
	Service
	Zone    string   `json:"zone"`
	Records []Record `json:"records"`
	Found   int      `json:"found"` // records, of which Records is a part
	Notes   []string `json:"notes"` // what is no record
}

// Record is a record of a service.
type Record struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Data string `json:"data"`
}

func (p *page) service(r *http.Request) (any, error) {
	q := newQuery(r, "zone", "namespace", "name")
	c := p.cluster(q)
	namespace, name := q.text("namespace", 63), q.text("name", 63)
	if q.err == nil && (namespace == "" || name == "") {
		q.fail("namespace and name must be given.")
	}
	owner, err := wire.ParseName(name + "." + namespace)
	if err != nil {
		q.fail("%q is not a domain name: %v.", cut(name+"."+namespace), err)
	}
	if q.err != nil {
		return nil, q.err
	}
	if c.Index == nil {
		return nil, errNotFound
	}
	s := c.Index.Snapshot().Service(bytes.TrimSuffix(owner, []byte{0}))
	if s == nil {
		return nil, errNotFound
	}
	var text strings.Builder
	if err := s.WriteText(&text, c.Zone, 0); err != nil {
		return nil, err
	}
	answer := Records{Service: Service{name, namespace, s.Why()}, Zone: c.Zone, Records: []Record{}, Notes: []string{}}
	for line := range strings.Lines(text.String()) {
		line = strings.TrimSuffix(line, "\n")
		if note, is := strings.CutPrefix(line, "; "); is {
			if len(answer.Notes) < mostRecords {
				answer.Notes = append(answer.Notes, note)
			}
			continue
		}
		// owner TTL IN type data
		words := strings.SplitN(line, " ", 5)
		if answer.Found++; len(words) == 5 && len(answer.Records) < mostRecords {
			answer.Records = append(answer.Records, Record{words[0], words[3], words[4]})
		}
	}
	return answer, nil
}

// File is a file of the Corefile.
type File struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

func (p *page) corefile(r *http.Request) (any, error) {
	if q := newQuery(r); q.err != nil {
		return nil, q.err
	}
	return map[string]any{"files": p.Corefile(), "reload": p.State().Reload}, nil
}
