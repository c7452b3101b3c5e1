package watch

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
)

// Pods ask for a name in NAMESPACE.svc.ZONE, in svc.ZONE and in ZONE before they ask for the name itself. So service
// google of a namespace com answers all of them for google.com, and named endpoint google of a service com those of its
// own namespace. Nothing else can: a namespace has no names below ZONE itself, and a service without named endpoints
// none that a domain of two labels looks like.

// Toplevel is the option toplevel: which namespaces and services capture names of top-level domains. The zero value is off.
type Toplevel struct {
	Labels  string // that count besides IANA's: svc, pod, those of the served zones, and those of Refused; by commas
	Refused string // what has one of these names is not served, by commas; AllToplevel for all that count
}

// AllToplevel refuses what has the name of any top-level domain.
const AllToplevel = "*"

// Counts reports whether a namespace or a service with this label counts as called like a top-level domain.
func (o Toplevel) Counts(label string) bool {
	return o.Labels != "" && (slices.Contains(strings.Split(o.Labels, ","), label) || strings.Contains(toplevelDomains, "\n"+label+"\n"))
}

//go:embed toplevel.txt
var toplevelDomains string

// toplevel is what captures names of top-level domains. A nil one is off.
type toplevel struct {
	refused  map[string]bool         // by label that counts: whether it is refused
	captures map[object.Key]captured // services that do it
	spaces   map[string]int          // namespaces, with the number of their services
	services int                     // those whose own names do it
}

// captured is for whom a service captures names.
type captured uint8

const (
	forAll captured = 1 << iota // by the name of its namespace
	forOwn                      // by its own name, for pods of its namespace
)

func newToplevel(o Toplevel) *toplevel {
	if o.Labels == "" {
		return nil
	}
	t := &toplevel{map[string]bool{}, map[object.Key]captured{}, map[string]int{}, 0}
	refused := strings.Split(o.Refused, ",")
	add := func(label string) {
		t.refused[label] = o.Refused == AllToplevel || slices.Contains(refused, label)
	}
	for line := range strings.Lines(toplevelDomains) {
		if label := strings.TrimSpace(line); !strings.HasPrefix(label, "#") {
			add(label)
		}
	}
	for label := range strings.SplitSeq(o.Labels, ",") {
		add(label)
	}
	return t
}

func (t *toplevel) has(label string) bool {
	if t == nil {
		return false
	}
	_, has := t.refused[label]
	return has
}

func (t *toplevel) refuses(label string) bool { return t != nil && t.refused[label] }

// set notes for whom a service captures names now, in a time that does not depend on how many there are.
func (t *toplevel) set(k object.Key, now captured) {
	if t == nil || t.captures[k] == now {
		return
	}
	was := t.captures[k]
	if t.captures[k] = now; now == 0 {
		delete(t.captures, k)
	}
	t.services += int(now&forOwn/forOwn) - int(was&forOwn/forOwn)
	if t.spaces[k.Namespace] += int(now&forAll) - int(was&forAll); t.spaces[k.Namespace] == 0 {
		delete(t.spaces, k.Namespace)
	}
}

// Toplevels are how many namespaces and services capture names of top-level domains; nil without the option.
type Toplevels struct{ Namespaces, Services int }

func (t *toplevel) count() *Toplevels {
	if t == nil {
		return nil
	}
	return &Toplevels{len(t.spaces), t.services}
}

// guard notes for whom a service that is shown captures names. It reports whether its namespace is refused, and whether
// its own names are.
func (s *state) guard(k object.Key) (namespace, names bool) {
	if s.toplevel == nil {
		return false, false
	}
	var now captured
	if s.toplevel.has(k.Namespace) {
		now |= forAll
		namespace = s.toplevel.refuses(k.Namespace)
		s.tellCapture(k.Namespace, namespace, "namespace "+k.Namespace, "SERVICE."+k.Namespace, "every namespace")
	}
	if s.toplevel.has(k.Name) && s.namesEndpoints(k) {
		now |= forOwn
		names = s.toplevel.refuses(k.Name)
		s.tellCapture(k.Namespace, names, "service "+k.Namespace+"/"+k.Name, "ENDPOINT."+k.Name, "its namespace")
	}
	s.toplevel.set(k, now)
	return namespace, names
}

// namesEndpoints reports whether a service has endpoints with names that someone has chosen.
func (s *state) namesEndpoints(k object.Key) bool {
	for _, sl := range s.byService[k] {
		for e := range sl.Endpoints.All {
			if !sl.Nameless && (e.Hostname != "" || s.options.PodNames && e.Pod != "") {
				return true
			}
		}
	}
	return false
}

// tellCapture names what captures names of a top-level domain in the log, once.
func (s *state) tellCapture(namespace string, refused bool, who, names, whose string) {
	text := who + " is called like a top-level domain: "
	if refused {
		text += "its names are not served (option toplevel)"
	} else {
		text += fmt.Sprintf("pods of %s that ask for %s get it by their search list (option toplevel)", whose, names)
	}
	if ok, _ := s.complaints.first(namespace, text, time.Now()); ok {
		s.log.Info("kubernetes: " + text)
	}
}

// publishRefused lets the index know that a namespace is there, though it has no names.
func (s *state) publishRefused(tx *zones.Tx, name string) {
	if s.toplevel.refuses(name) {
		tx.SetRefused(name, s.shows(name) && (s.namespace(name) != nil || s.toplevel.spaces[name] > 0))
	}
}

// compileRefused gives a service no names.
func compileRefused(b *zones.Builder, n *object.Service) (*zones.ServiceRecords, error) {
	b.Start(n.Namespace, n.Name)
	b.NoNames(why(n, "called like a top-level domain, and so not served (kubernetes option toplevel)"))
	return b.Build()
}
