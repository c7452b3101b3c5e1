package explain

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/clusterdns/clusterdns/server/config"
)

// object is the service that a name of the cluster is about, as far as the name says.
type object struct{ namespace, service, below string }

// objectOf reads a full name: [BELOW.]SERVICE.NAMESPACE.svc.ZONE. ok is false for any other.
func objectOf(name, zone string) (o object, ok bool) {
	rest, ok := strings.CutSuffix(strings.TrimSuffix(strings.ToLower(name), "."), ".svc."+strings.TrimSuffix(zone, "."))
	labels := strings.Split(rest, ".")
	if !ok || len(labels) < 2 {
		return o, false
	}
	n := len(labels)
	return object{labels[n-1], labels[n-2], strings.Join(labels[:n-2], ".")}, true
}

// objectIn is the service or namespace that a question is about: by its name, or else by the reason, or as far as a name
// with one label before svc, or one of a pod, says it.
func objectIn(step *Step, zone string) object {
	if o, ok := objectOf(step.Name, zone); ok {
		return o
	}
	if words, _, ok := strings.Cut(step.Reason, ": "); ok {
		if names, ok := strings.CutPrefix(words, "service "); ok {
			namespace, service, _ := strings.Cut(names, "/")
			return object{namespace, service, ""}
		}
		if namespace, ok := strings.CutPrefix(words, "namespace "); ok {
			return object{namespace, "", ""}
		}
	}
	rest, _ := strings.CutSuffix(strings.ToLower(step.Name), "."+strings.TrimSuffix(zone, "."))
	labels := strings.Split(rest, ".")
	if n := len(labels); n > 1 && (labels[n-1] == "svc" || labels[n-1] == "pod") {
		return object{labels[n-2], "", ""}
	}
	return object{}
}

// fill writes the words of a question into text; "" where the question does not have one of them.
func fill(text string, step *Step, zone string) string {
	o := objectIn(step, zone)
	if text == ofType {
		return typeFix(step.Type)
	}
	for word, value := range map[string]string{"NAMESPACE": o.namespace, "SERVICE": o.service, "BELOW": o.below} {
		if value == "" && strings.Contains(text, word) {
			return ""
		}
	}
	reason := strings.TrimRight(strings.Join(strings.Fields(step.Reason), " "), ". ")
	cause := reason
	if _, behind, ok := strings.Cut(reason, ": "); ok {
		cause = behind
	}
	return strings.NewReplacer("CAUSE", cmp.Or(cause, "nothing"), "NAMESPACE", o.namespace, "SERVICE", o.service, "BELOW", o.below, "NAME", cmp.Or(step.Name, "the root"),
		"ZONE", zone, "REASON", cmp.Or(reason, "nothing")).Replace(text)
}

// verdict is what a reason means: how likely the question is the one that was meant, a sentence, and what to do.
// SERVICE, NAMESPACE, NAME, REASON and CAUSE, which is REASON behind its first colon, are filled in.
type verdict struct {
	part          string // of the reason
	weight        int
	sentence, fix string
}

// ofType is the fix of a name without records of the type, typeFix, which depends on the type.
const ofType = "TYPE"

func typeFix(qtype string) string {
	switch qtype {
	case "A":
		return "A needs IPv4 addresses of the service (ipFamilies); nothing is wrong if AAAA resolves."
	case "AAAA":
		return "AAAA needs IPv6 addresses of the service (ipFamilies); nothing is wrong if A resolves."
	case "SRV":
		return "SRV needs ports of the service: below it, as _http._tcp.<service>, those with a name."
	}
	return "Names of a cluster have records of types A, AAAA, SRV, PTR and CNAME."
}

// look is where the API server says what is wrong with a service.
const look = "Look at it and its events: kubectl -n NAMESPACE describe service SERVICE"

const notAName = "not a name the Kubernetes DNS schema defines"

// noNamespace is the sentence of a name in a namespace that there is not, for the client.
const noNamespace = "There is no namespace NAMESPACE."

// verdicts are in the order in which they are looked for. A reason that says that the service exists weighs most: its
// name is the one that was meant.
var verdicts = []verdict{
	{"of 0 endpoints ready", 9, "Service NAMESPACE/SERVICE is headless and has no endpoints.",
		"Compare its selector with the labels of the pods: kubectl -n NAMESPACE get service SERVICE -o wide; kubectl -n NAMESPACE get pods --show-labels"},
	{"endpoints ready", 9, "Service NAMESPACE/SERVICE is headless, and none of its endpoints is ready.",
		"See why the pods are not ready: kubectl -n NAMESPACE get pods; kubectl -n NAMESPACE describe pods. publishNotReadyAddresses gives names to pods that are not."},
	{"endpoints are not read", 9, "Service NAMESPACE/SERVICE is headless, and this server reads no endpoints.", "Take the option noendpoints of `kubernetes` away."},
	{"its manifest is refused", 9, "Service NAMESPACE/SERVICE has no names, because its manifest is refused.", "The log says why, with file and line."},
	{"its cluster IPs are no IP addresses", 9, "Service NAMESPACE/SERVICE has no names, because its cluster IPs are no IP addresses.", look},
	{"its external name is no domain name", 9, "Service NAMESPACE/SERVICE has no names, because its externalName is no domain name.", look},
	{"too many combinations", 9, "Service NAMESPACE/SERVICE has no names, because its endpoints and ports make too many combinations.",
		"See its slices: kubectl -n NAMESPACE get endpointslices -l kubernetes.io/service-name=SERVICE"},
	{"the chain of aliases", 9, "NAME is an alias that leads in a circle, or over more than 10 others.",
		"Follow the ExternalNames: kubectl get services -A -o wide"},
	{"no cluster IP", 9, "Service NAMESPACE/SERVICE has no cluster IP yet.", look},
	{"not all of its namespace is known", 8, "Namespace NAMESPACE has more objects than its share of memory, and some are left out.",
		"The server's log names what was left out; a larger GOMEMLIMIT makes the share larger."},
	{"internalTrafficPolicy is Local", 8, "Service NAMESPACE/SERVICE is only for clients on the nodes of its endpoints (internalTrafficPolicy: Local), and on that of the client none is ready.",
		"Its endpoints and their nodes: kubectl -n NAMESPACE get endpointslices -l kubernetes.io/service-name=SERVICE -o yaml"},
	{"no such endpoint or named port", 8, "Service NAMESPACE/SERVICE exists, and has no port or endpoint BELOW.",
		"Its ports: kubectl -n NAMESPACE get service SERVICE. Names from manifests: clusterdns records -f PATH"},
	{"hosts: the name has no records", 7, "The directive hosts has NAME, with addresses of the other type.", ""},
	{"the zone has this name", 7, "The zone has NAME, without records of this type.", ""},
	{"by the search list of the client's namespace", 7, "NAME exists, and has no records of this type.", ofType},
	{"without records of this type", 7, "NAME exists, and has no records of this type.", ofType},
	{"without records of its own", 6, "NAME is no service: it only has names below it.", "Write a service before it: <service>.NAMESPACE"},
	{"hosts: no entry has this name", 7, "The directive hosts is for NAME, has no entry for it, and lets nobody else answer.",
		"Write `fallthrough` into hosts, or add the name."},
	{"template: no pattern matches", 7, "A directive template is for NAME, no pattern of it matches, and it lets nobody else answer.",
		"Write `fallthrough` into it, or a pattern that matches."},
	{"template: ", 7, "A directive template answers for NAME: CAUSE.", "Ask whoever owns the Corefile."},
	{"rewrite: ", 8, "A rule of rewrite makes an impossible name: CAUSE.", "Correct the rule in the Corefile."},
	{"no Ingress, route or load balancer", 7, "NAME is in a zone of k8s_gateway, and no Ingress, route or load balancer has it.",
		"See their hosts, and whether they have an address: kubectl get ingress -A; kubectl get services -A -o wide"},
	{"no address outside the cluster", 7, "NAME is a name for clients outside of the cluster, and its service has no address there.",
		"See whether it has an EXTERNAL-IP: kubectl get services -A -o wide"},
	{"etcd has no key", 7, "NAME is in a zone of etcd, which has no key for it.", ""},
	{"etcd has more keys", 7, "NAME is in a zone of etcd, which has more keys than this server keeps.", "Its log says how many."},
	{"etcd has not been read yet", 9, "The server has not read etcd: its zones are not answered.", "Its log says why."},
	{"the zone file has not been read", 9, "The zone of NAME has no content: CAUSE.", "Correct the file; the log has the line."},
	{"the zone has not been transferred", 9, "The zone of NAME has no content: CAUSE.", "See whether the primary can be reached, and allows the transfer."},
	{"the zone does not have this name", 4, "NAME is in a zone of this server, which does not have it.", "Add it to the zone file, or to the primary."},
	{"that a DNAME record makes", 7, "An alias of a domain above it makes a name of NAME that is too long.", ""},
	{"local: ", 4, "NAME is no name that is asked for in a network.", "The directive local answers for it."},
	{"forwarding loop", 9, "What this server forwards comes back to it.",
		"Give `forward` servers that do not ask this one: /etc/resolv.conf of a node may name a cache that does. The log names it."},
	{"too many", 8, "The server has reached a bound: REASON.", "Ask again; the table of bounds in docs/operations.md has its metric."},
	{"no answer within the time", 7, "NAME had no answer within the time of the directive cancel.", "See which upstream is slow, or give it more time."},
	{"shutting down", 8, "The server is shutting down.", "Ask again."},
	{"no view of theirs matches", 7, "There is a zone for NAME, and no view that takes the client.", "Look at the expressions of `view` in the Corefile."},
	{"the cluster has not been read yet: ", 9, "The server has not read the cluster yet: CAUSE.", "Until then it answers SERVFAIL; /ready and the log say the same."},
	{"the cluster has not been read yet", 9, "The server has not read the cluster yet.", "Its /ready and its log say what the API server answers."},
	{"directive acl", 9, "A rule of the directive acl keeps this name from the client.", "Ask whoever owns the Corefile."},
	{"no live pod has this address", 5, "NAME is the name of a pod, and no running pod has this address.", "kubectl get pods -A -o wide shows the addresses."},
	{"a pod's name is its address with dashes", 5, "NAME is in the form of a pod's name, and is not an address with dashes.", "Write 10-244-1-7.NAMESPACE.pod."},
	{"names of pods are disabled", 5, "This server gives pods no names (kubernetes option pods).", "Use a headless service, or set `pods verified`."},
	{"called like a top-level domain", 3, "NAME is not served: CAUSE.", "Rename it, or take its label from `toplevel refuse` of `kubernetes`."},
	{"the namespace does not exist", 3, noNamespace, ""},
	{"not found", 4, "There is no service SERVICE in namespace NAMESPACE.", ""},
	{"nothing comes back from upstream", 7, "The name is not of the cluster, and its servers do not answer: REASON.", "Ask for it from outside of the cluster."},
	{"upstream", 7, "The name is not of the cluster, and an upstream failed: REASON.", "Look at the upstreams in `forward`, and at the network to them."},
	{"does not answer", 7, "The server was asked and nothing came back: REASON.", "Check the address, NetworkPolicies, and that the server runs."},
	{"nothing listens at", 7, "The server cannot be asked: REASON.", "Check the address and the port of the server."},
	{"outside of the cluster", 1, "The name is not of the cluster, and was not asked for further.", "-server ADDRESS asks a server that forwards it."},
	{"no zone here has this name", 2, "The name is not of the cluster, and this server does not forward it.", "Add `forward . /etc/resolv.conf` to the Corefile if it should."},
	{"no server block has a zone", 2, "The name is not of the cluster, and this server has no block for it.", "Add a block for its zone to the Corefile if it should."},
	{notAName, 0, "NAME is not in the form of a name of the cluster.", "The form is <service>.<namespace>.svc.ZONE."},
	{"no service or endpoint has this address", 6, "No service or endpoint of the cluster has this address.", "kubectl get services,endpointslices -A -o wide shows the addresses."},
}

// verdictOf is what an answer without records means.
func verdictOf(a *Answer) verdict {
	if strings.HasPrefix(a.Reason, "namespace ") && strings.HasSuffix(a.Reason, ": not found") {
		return verdict{"", 3, noNamespace, ""}
	}
	for _, v := range verdicts {
		if a.Reason != "" && strings.Contains(a.Reason, v.part) {
			return v
		}
	}
	switch {
	case a.Reason != "":
		return verdict{"", 2, "The server says: REASON.", ""}
	case a.String() == "NODATA":
		return verdict{"", 7, "NAME exists, and has no records of this type.", ""}
	case a.Rcode == "NXDOMAIN":
		return verdict{"", 1, "NAME does not exist. The server gives no reason, as upstreams and other servers do.", ""}
	}
	return verdict{"", 2, "The server answers " + a.String() + " for NAME, without a reason.", ""}
}

// certain is the weight from which a reason says that its question is the one that was meant.
const certain = 5

// conclude chooses the decisive question, and says what it means.
func (r *Report) conclude(q *Question) {
	if r.Resolves {
		r.resolved(q)
		return
	}
	if r.Decisive = r.decisive(q); r.Decisive < 0 {
		r.Sentence = "Nothing was asked."
		return
	}
	if r.spoilt() {
		return
	}
	alias := r.Steps[r.Decisive]
	step := alias.followed()
	v := verdictOf(&step.Answer)
	r.Sentence, r.Fix = fill(v.sentence, step, q.Zone), fill(v.fix, step, q.Zone)
	if r.Sentence == "" {
		r.Sentence = fill("The server says: REASON.", step, q.Zone)
	}
	if alias.Name != step.Name {
		defer r.misled(&alias, step, q.Zone)
	}
	if q.Away && step.Reason == outsideReason {
		r.Sentence, r.Fix = "The pod does not ask for this name in the cluster.", "Change its dnsPolicy or dnsConfig, as is said above."
		return
	}
	if v.sentence == noNamespace && q.Index != nil && q.Index.Snapshot().HasNamespace(objectIn(step, q.Zone).namespace) {
		r.Sentence = fill("Namespace NAMESPACE is kept from this client.", step, q.Zone)
		r.Fix = "Look at the lines `visibility` of the directive kubernetes, and at the labels of both namespaces: kubectl get namespaces --show-labels"
		return
	}
	if fix := written(q, step); fix != "" {
		r.Fix = fix
		return
	}
	if service, ok := otherDomain(step.Name, q.Zone); ok {
		r.Near = []string{service + ".svc." + q.Zone}
		r.Fix = "The domain of the cluster is " + q.Zone + ": did you mean " + r.Near[0] + "?"
		return
	}
	r.near(q, objectIn(step, q.Zone))
}

// written says what is wrong with the way in which the name is written; "" for nothing.
func written(q *Question, step *Step) string {
	name, final := strings.CutSuffix(q.Name, ".")
	front, below := strings.CutSuffix(strings.ToLower(step.Name), "."+q.Zone)
	labels := strings.Split(front, ".")
	switch last := labels[len(labels)-1]; {
	case final && step.Reason == outsideReason && q.Index != nil && recordsOf(q.Index.Snapshot(), meantBy(q)) != nil:
		full := cmp.Or(q.namespace(), "default") + ".svc." + q.Zone
		switch {
		case strings.HasSuffix(name, ".svc"):
			full = q.Zone
		case strings.Contains(name, "."):
			full = "svc." + q.Zone
		}
		return fmt.Sprintf("The final dot leaves the search list out: %s without it, or %s.%s. with it.", name, name, full)
	case below && len(labels) == 2 && last != "svc" && last != "pod" && last != "dns" && verdictOf(&step.Answer).part == notAName:
		return fmt.Sprintf("The label svc is missing: did you mean %s.svc.%s?", front, q.Zone)
	}
	return ""
}

// followed is the question for the name that an alias leads to, where the answer ends with one.
func (s *Step) followed() *Step {
	last := *s
	if target := s.target(); target != "" {
		last.Name, last.Records = target, nil
	}
	return &last
}

// misled says that it is an alias that leads to the name that has been explained.
func (r *Report) misled(alias, step *Step, zone string) {
	if alias.Completed != "" {
		r.Sentence = fmt.Sprintf("The server has gone through the search list, as far as %s. %s", alias.Completed, r.Sentence)
		return
	}
	r.Sentence = fmt.Sprintf("%s is an alias of %s. %s", alias.Name, step.Name, r.Sentence)
	o, ok := objectOf(alias.Name, zone)
	if !ok || len(r.Near) == 0 {
		return
	}
	for i, name := range r.Near {
		if !strings.HasSuffix(name, "."+zone) {
			r.Near[i] = name + ".svc." + zone
		}
	}
	r.Fix = fmt.Sprintf("Correct externalName of service %s/%s: did you mean %s?", o.namespace, o.service, strings.Join(r.Near, " or "))
}

// decisive is the question that should have had an answer: the one whose reason is certain; else the one in the form
// that was written, or the name itself where that looks like a name of the world outside.
func (r *Report) decisive(q *Question) int {
	best, weight := -1, certain
	written, bare := -1, -1
	meant := meantBy(q)
	for i := range r.Steps {
		step := &r.Steps[i]
		o, ok := objectOf(step.Name, q.Zone)
		if ok && o == meant && written < 0 {
			written = i
		}
		if w := verdictOf(&step.Answer).weight; w > weight || w > certain && w == weight && i == written {
			best, weight = i, w
		}
		if !ok && strings.EqualFold(step.Name, strings.TrimSuffix(q.Name, ".")) && bare < 0 {
			bare = i
		}
	}
	switch {
	case best >= 0:
		return best
	case bare >= 0 && looksOutside(q, meant):
		return bare
	case written >= 0:
		return written
	}
	return max(bare, min(0, len(r.Steps)-1))
}

// spoilt says that musl has addresses of one type and does not take them.
func (r *Report) spoilt() bool {
	has := slices.IndexFunc(r.Steps, func(s Step) bool { return s.found })
	fails := slices.IndexFunc(r.Steps, func(s Step) bool { return s.failed() })
	if has < 0 || fails < 0 {
		return false
	}
	r.Decisive = fails
	r.Sentence = fmt.Sprintf("%s has records of type %s, and musl fails all the same, because the question for %s fails.",
		r.Steps[has].Name, r.Steps[has].Type, r.Steps[fails].Type)
	r.Fix = "Find out why the server answers " + r.Steps[fails].String() + "; glibc and Go take the addresses of one type."
	return true
}

// otherDomain is SERVICE.NAMESPACE of a name SERVICE.NAMESPACE.svc.DOMAIN whose domain is not the cluster's.
func otherDomain(name, zone string) (service string, is bool) {
	service, domain, is := strings.Cut(name, ".svc.")
	return service, is && strings.Count(service, ".") > 0 && domain != zone && !strings.HasSuffix(domain, "."+zone)
}

// looksOutside reports whether the name is like www.example.com, and its last label like no namespace.
func looksOutside(q *Question, meant object) bool {
	name := strings.TrimSuffix(q.Name, ".")
	if strings.Count(name, ".") < 2 || strings.HasSuffix(name, ".svc") {
		return false
	}
	return q.Index == nil || len(config.Nearest(meant.namespace, slices.Collect(maps.Keys(q.services())))) == 0
}

// meantBy is the object that the name is about in the way it is written: a service of the client's namespace, or
// SERVICE.NAMESPACE.
func meantBy(q *Question) object {
	name := strings.TrimSuffix(strings.ToLower(q.Name), ".")
	if o, ok := objectOf(name, q.Zone); ok {
		return o
	}
	labels := strings.Split(strings.TrimSuffix(name, ".svc"), ".")
	switch n := len(labels); {
	case n == 1:
		return object{q.namespace(), labels[0], ""}
	default:
		return object{labels[n-1], labels[n-2], strings.Join(labels[:n-2], ".")}
	}
}

// resolved says what wins, and what it cost.
func (r *Report) resolved(q *Question) {
	step := &r.Steps[r.Decisive]
	if step.Reason == outsideReason {
		r.Sentence = fmt.Sprintf("%s is an alias of %s, which is outside of the cluster and is not asked for here.", step.Name, step.target())
		r.Fix = "-server ADDRESS asks a server that follows it."
		return
	}
	if step.Completed != "" {
		r.Sentence = fmt.Sprintf("%s resolves, as %s: the server has gone through the search list and found it (directive search or autopath).",
			r.Name, step.Completed) + captured(q, step.Completed) + ordered(q, step)
		return
	}
	r.Sentence = fmt.Sprintf("%s resolves, as %s.", r.Name, cmp.Or(step.Name, "the root")) + captured(q, step.Name) + ordered(q, step)
	if r.unready(q, step); r.Unready != "" {
		return
	}
	wasted := 0
	for i := range r.Decisive {
		if r.Steps[i].Name != step.Name {
			wasted++
		}
	}
	if wasted > 2 && strings.EqualFold(step.Name, strings.TrimSuffix(r.Name, ".")) {
		r.Fix = fmt.Sprintf("%d questions before it came of the search list alone. A final dot (%s.) or a smaller ndots saves them.", wasted, r.Name)
	}
}
