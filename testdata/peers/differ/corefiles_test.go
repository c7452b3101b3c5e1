package differ

import (
	"flag"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clusterdns/clusterdns/testdata/peers/process"
	"github.com/miekg/dns"
)

// The differential test of whole Corefiles: what distributions ship, and combinations of directives, on one API server
// and one scripted upstream.
//
//	go test -count=1 ./differ -run Corefiles                     all of them
//	go test -count=1 ./differ -run Corefiles -corefile gardener  one
var (
	corefileFlag          = flag.String("corefile", "", "how the names of the Corefiles of TestSameCorefiles begin; empty for all")
	corefileQuestionsFlag = flag.Int("corefilequestions", 500, "different questions for each Corefile; half of them are asked twice")
)

// wholeFile is one Corefile under test.
type wholeFile struct {
	name  string
	text  string   // with READY and others in the place of addresses
	names []string // that its directives have something to say about
}

// distributions are the folders of that name, each with the Corefile of one and the files that this refers to.
func distributions(t *testing.T) (list []string) {
	entries, err := os.ReadDir("distributions")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// distribution is one of them as it runs here. The names that it is about lie beside it.
func distribution(t *testing.T, name, kubeconfig, upstream string) wholeFile {
	from, to := filepath.Join("distributions", name), t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	imports, _ := filepath.Glob(filepath.Join(to, "custom", "*"))
	for _, file := range append(imports, filepath.Join(to, "Corefile")) {
		text, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(file, []byte(inFolder(placed(string(text), kubeconfig, upstream), to)), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(filepath.Join(to, "Corefile"))
	if err != nil {
		t.Fatal(err)
	}
	names, _ := os.ReadFile(filepath.Join(to, "names")) // most have none
	return wholeFile{name, measurable(string(text)), strings.Fields(string(names))}
}

// inFolder is a Corefile whose files are those of folder.
func inFolder(text, folder string) string {
	text = strings.ReplaceAll(text, "/etc/coredns/", folder+"/")
	return strings.ReplaceAll(text, "import custom/", "import "+folder+"/custom/")
}

// What a Corefile names of the machine that it was written for.
var (
	ports      = regexp.MustCompile(`:(53|5353|8053) `)
	health     = regexp.MustCompile(`(?m)^(\s*)health\b( \S+:\d+)?`)
	ready      = regexp.MustCompile(`(?m)^(\s*)ready$`)
	measured   = regexp.MustCompile(`(?m)^(\s*)prometheus \S+$`)
	upstreams  = regexp.MustCompile(`(?m)^(\s*forward \S+) [^{\n]*[^{\s]`)
	clusters   = regexp.MustCompile(`(?m)^(\s*kubernetes [^{\n]*){\n`)
	bound      = regexp.MustCompile(`(?m)^(\s*)bind \S+$`)
	lameduck   = regexp.MustCompile(`lameduck \d+s`)
	indented   = regexp.MustCompile(`(?m)^[ \t]+`)
	firstBlock = regexp.MustCompile(`(?m)^[^\s#].*{\n`)
)

// placed is a Corefile as it runs here: at the port of the command line, with one upstream, and with the API server.
// READY, HEALTH and METRICS are addresses of each server.
func placed(text, kubeconfig, upstream string) string {
	text = ports.ReplaceAllString(text, " ")
	text = health.ReplaceAllString(text, "${1}health HEALTH")
	text = ready.ReplaceAllString(text, "${1}ready READY")
	text = measured.ReplaceAllString(text, "${1}prometheus METRICS")
	text = upstreams.ReplaceAllString(text, "$1 "+upstream)
	text = clusters.ReplaceAllString(text, "${1}{\n\t\tkubeconfig "+kubeconfig+"\n")
	text = lameduck.ReplaceAllString(text, "lameduck 0s")
	text = bound.ReplaceAllString(text, "${1}bind 127.0.0.1")
	return text
}

// measurable is a Corefile that says when its server is ready.
func measurable(text string) string {
	if strings.Contains(text, "ready READY") {
		return text
	}
	at := firstBlock.FindStringIndex(text)
	return text[:at[1]] + "\tready READY\n" + text[at[1]:]
}

// optionsOf reads the options of the directive kubernetes, as far as the rules want to know them. A Corefile without
// one forwards everything.
func optionsOf(text string) options {
	o := options{zones: []string{"cluster.invalid"}, pods: "disabled", ttl: 5}
	at := clusters.FindStringSubmatchIndex(text)
	if at == nil {
		return o
	}
	o.zones = nil
	for _, z := range strings.Fields(text[at[2]:at[3]])[1:] {
		if z = strings.TrimSuffix(z, "."); !slices.Contains(o.zones, z) {
			o.zones = append(o.zones, z)
		}
	}
	body, _, _ := strings.Cut(text[at[1]:], "}")
	for line := range strings.Lines(body) {
		switch f := append(strings.Fields(line), ""); f[0] {
		case "pods":
			o.pods = f[1]
		case "ttl":
			o.ttl, _ = strconv.Atoi(f[1])
		case "fallthrough":
			o.onward = slices.Clone(f[1 : len(f)-1])
		case "endpoint_pod_names":
			o.podNames = true
		}
	}
	return o
}

func TestSameCorefiles(t *testing.T) {
	w, kubeconfig := corefileWorld(t)
	total := &result{used: map[string]int{}, groups: map[string]*group{}}
	for i, file := range combined(t, kubeconfig) {
		if strings.HasPrefix(file.name, *corefileFlag) {
			t.Run(file.name, func(t *testing.T) { total.add(w.ofCorefile(file, uint64(14+i)).corefileTrial(t, file)) })
		}
	}
	total.report(t, corefileRules, 1<<30) // most rules are those of other tests
	for _, r := range wholeRules {
		if *corefileFlag == "" && total.used[r.name] == 0 && r.name != "names of chaos are of its class" { // a distribution has it
			t.Errorf("rule %q explained nothing", r.name)
		}
	}
}

// corefileWorld is the cluster that Corefiles are served from, in an API server.
func corefileWorld(t *testing.T) (w *world, kubeconfig string) {
	c := startCluster(t)
	client := c.client(t)
	defineImports(t, client)
	w = newWorld(corefileSeed, localAddresses(t))
	w.load(t, client)
	return w, c.kubeconfig
}

// corefileSeed is that of the cluster.
const corefileSeed = 2

// corefileUpstream has the records of both other tests.
var corefileUpstream = sync.OnceValue(func() scripted {
	u := maps.Clone(scriptedUpstream().upstream)
	maps.DeleteFunc(u, func(name string, _ []dns.RR) bool { // the cluster has such addresses of its own
		return dns.IsSubDomain("in-addr.arpa.", name)
	})
	for name, records := range upstreamRecords() {
		u[name] = records
	}
	return scripted{u}
})

// ofCorefile is the world as a Corefile has it.
func (w *world) ofCorefile(file wholeFile, seed uint64) *world {
	own := *w
	own.Rand = rand.New(rand.NewPCG(corefileSeed, seed))
	own.rules, own.options = corefileRules, optionsOf(file.text)
	own.front, own.upstream = w.front, corefileUpstream().upstream
	own.under, own.apexes = "\n"+indented.ReplaceAllString(file.text, "\t"), own.claimed()
	return &own
}

// corefileTrial runs both servers on a Corefile.
func (w *world) corefileTrial(t *testing.T, file wholeFile) *result {
	began := time.Now()
	servers := []*server{startServer(t, process.Clusterdns, file.text), startServer(t, process.CoreDNS, file.text)}
	for _, s := range servers {
		defer s.Stop()
	}
	started := time.Since(began)
	got := w.askCorefile(t, file, servers)
	t.Logf("%d questions and %d that these led to: %d answered differently and explained, %d unexplained; started in %v, asked in %v",
		got.questions, got.again, got.explained, got.unexplained, started.Round(time.Millisecond),
		(time.Since(began) - started).Round(time.Millisecond))
	return got
}

// askCorefile asks the questions about a Corefile, half of them again, when the caches know the answer.
func (w *world) askCorefile(t *testing.T, file wholeFile, servers []*server) *result {
	list := w.corefileQuestions(file, *corefileQuestionsFlag)
	for _, q := range list[:len(list)/2] {
		list = append(list, q.anew(", again"))
	}
	got := &result{seeds: 1, questions: len(list), used: map[string]int{}, groups: map[string]*group{}}
	got.again = askRounds(t, servers, list, (*question).again)
	for _, q := range list {
		q.level()
	}
	got.judge(list)
	return got
}

// anew is the same question, to be asked once more.
func (q *question) anew(what string) *question {
	return &question{world: q.world, under: q.under, what: q.what + what, tcp: q.tcp, six: q.six, msg: *q.msg.Copy(), packet: q.packet}
}

// corefileQuestions are questions about the cluster, about what the upstream has, and about what the Corefile names.
func (w *world) corefileQuestions(file wholeFile, n int) (list []*question) {
	cluster := !slices.Contains(w.zones, "cluster.invalid")
	var bases []base
	if cluster {
		bases = w.bases()
	}
	names := slices.DeleteFunc(scriptedNames(), func(name string) bool {
		return dns.IsSubDomain("in-addr.arpa.", name) || strings.HasPrefix(name, "both.") ||
			strings.HasPrefix(name, "lost.")
	})
	names = append(names, "www.example.com.", "big.example.com.", "nowhere.example.com.")
	for len(list) < n {
		var q *question
		switch k := w.IntN(10); {
		case k < 3 && len(file.names) > 0:
			q = w.corefileQuestion(pick(w, file.names), "of the Corefile")
		case k < 6 || !cluster:
			q = w.corefileQuestion(pick(w, names), "upstream")
		default:
			q = w.ask(bases)
		}
		if q != nil {
			list = append(list, q)
		}
	}
	return list
}

// corefileQuestion makes a question for a name or a neighbour, or for NAME/TYPE; nil if there can be none.
func (w *world) corefileQuestion(name, what string) *question {
	q := &question{world: w, under: w.under, what: what, tcp: w.chance(20)}
	qtype := pick(w, stepTypes)
	if w.chance(5) {
		qtype = pick(w, slices.DeleteFunc(slices.Clone(types), func(t uint16) bool {
			return slices.Contains([]uint16{dns.TypeAXFR, dns.TypeIXFR, dns.TypeRRSIG, dns.TypeNSEC}, t)
		}))
	}
	name, exact, only := strings.Cut(name, "/")
	if only {
		qtype = dns.StringToType[exact]
	}
	for !only && w.chance(15) {
		var how string
		name, how = w.neighbour(name)
		q.what += ", " + how
	}
	q.msg.Question = []dns.Question{{Name: name, Qtype: qtype, Qclass: dns.ClassINET}}
	if w.chance(5) {
		q.msg.Question[0].Qclass = pick(w, []uint16{dns.ClassCHAOS, dns.ClassANY})
	}
	q.msg.RecursionDesired, q.msg.CheckingDisabled, q.msg.AuthenticatedData = w.chance(90), w.chance(10), w.chance(10)
	if w.chance(60) {
		w.addOPT(&q.msg)
	}
	var err error
	if q.packet, err = q.msg.Pack(); err != nil {
		return nil
	}
	return q
}

// wholeRules are about directives that no other test of this package has.
var wholeRules = []rule{
	{
		name: "serials are the cluster's",
		reason: "the SOA of k8s_external has the serial of the cluster's records, which stands for one content, also where " +
			"names are rewritten; CoreDNS's has 0 there, and elsewhere the second of the last change",
		see:      "RFC 1982 section 3",
		story:    "differences/17-external-names.txtar",
		shows:    "any.shop.prod.ext.example. A",
		explains: externalSerial,
	},
	{
		name: "no cache stands before one's own data",
		reason: "names of hosts, templates and zones have their own TTLs; CoreDNS's cache stands before them, lowers " +
			"them to its own limit, and counts them down",
		see:      "RFC 1035 section 6.1.2, item 5",
		story:    "differences/05-no-cache-in-front.txtar",
		shows:    "web.prod.svc.cluster.local. A",
		explains: ownTTL,
	},
	{
		name: "no NS records beside another zone's answer",
		reason: "behind an alias that leads out of a zone file another zone answers; CoreDNS puts the NS records of the " +
			"alias's zone beside it",
		see:      "RFC 1034 section 4.3.2",
		story:    "rfc/rfc1034-zone-file.txtar",
		shows:    "away.example.org. A",
		explains: besideNS,
	},
	{
		name: "denials have a SOA",
		reason: "an alias whose target has no such records is a denial, with the SOA that says for how long; CoreDNS has " +
			"NS records there, and its minimal leaves the SOA out",
		see:      "RFC 2308 section 2.2",
		story:    "rfc/rfc1034-zone-file.txtar",
		shows:    "lost.example.org. A",
		explains: besideSOA,
	},
	{
		name:     "empty non-terminals do not fall through",
		reason:   "a name with names below it exists; CoreDNS passes it on with fallthrough",
		see:      "RFC 8020 section 2",
		story:    "rfc/rfc1034-zone-file.txtar",
		shows:    "b.through.test. A",
		explains: betweenFile,
	},
	{
		name: "nsid is in every reply",
		reason: "a client that asks which server answers is told by failures too, and DO is its own; CoreDNS sets DO, and " +
			"leaves nsid out of what the server itself says",
		see:      "RFC 5001 section 2.1, RFC 3225 section 3",
		story:    "rfc/rfc5001-nsid.txtar",
		shows:    "host.test. A +ednsopt=3:",
		explains: nsidAlways,
	},
	{
		name:     "the first search domain is a name",
		reason:   "autopath answers the first domain of its list as any other name; CoreDNS says SERVFAIL",
		see:      "RFC 1034 section 3.1",
		story:    "coredns/autopath-file.txtar",
		shows:    "one.test. A",
		explains: searchDomain,
	},
	{
		name:     "aliases of templates are followed for every type",
		reason:   "what an alias leads to is looked up whatever is asked for; CoreDNS looks for addresses alone",
		see:      "RFC 1034 section 3.6.2, item 6",
		story:    "differences/06-external-name.txtar",
		shows:    "good.prod.svc.cluster.local. TXT",
		explains: templateAlias,
	},
	{
		name:     "names of chaos are of its class",
		reason:   "in other classes and types they are nothing known here; CoreDNS says SERVFAIL",
		see:      "RFC 4892 section 3",
		story:    "spec/identity.txtar",
		shows:    "version.bind. TXT",
		explains: chaosClass,
	},
	{
		name:     "ANY gets one rrset, whatever the step",
		reason:   "hosts, local and zones answer ANY with an rrset of the name; CoreDNS says NODATA, or follows the alias",
		see:      "RFC 8482 section 4.1",
		story:    "rfc/rfc1034-zone-file.txtar",
		shows:    "example.org. ANY",
		explains: anyOfStep,
	},
}

// denial is asked behind the rules that make a denial of something else.
var denial = rule{
	name: "a denial holds for the MINIMUM",
	reason: "a denial may be kept for the smaller one of the SOA's TTL and its MINIMUM, and says so; CoreDNS takes " +
		"the TTL alone",
	see:      "RFC 2308 sections 3 and 5",
	story:    "rfc/rfc2308-negative.txtar",
	shows:    "nope.example.com. A",
	explains: denialTTL,
}

// besideNS drops the NS records of an apex that stand beside an answer of another zone.
func besideNS(q *question, ours, theirs *reply) bool {
	if !below(q.name(), "file.test.") || len(theirs.sections[answer]) < 2 || len(ours.sections[authority]) > 0 ||
		len(theirs.sections[authority]) == 0 || slices.ContainsFunc(theirs.sections[authority], func(r record) bool { return r.rrtype != "NS" }) {
		return false
	}
	theirs.sections[authority] = nil
	return true
}

// besideSOA gives a denial behind an alias the SOA that ours has.
func besideSOA(q *question, ours, theirs *reply) bool {
	their, our := theirs.sections[authority], ours.sections[authority]
	minimal := strings.Contains(q.under, "\tminimal") && len(their) == 0
	file := below(q.name(), "file.test.") && (len(their) == 0 || their[0].rrtype == "NS" || their[0].rrtype == "SOA")
	if !minimal && !file || len(our) != 1 || our[0].rrtype != "SOA" || len(ours.sections[answer]) == 0 ||
		ours.sections[answer][len(ours.sections[answer])-1].rrtype != "CNAME" {
		return false
	}
	theirs.sections[authority] = our
	if theirs.opt != nil && ours.opt != nil && len(theirs.opt.errors) == 0 {
		theirs.opt.errors = ours.opt.errors
	}
	return true
}

func nsidAlways(q *question, ours, theirs *reply) (changed bool) {
	if !strings.Contains(q.under, "\tnsid ") || ours.opt == nil || theirs.opt == nil || len(ours.opt.options) != 1 {
		return false
	}
	if asked := q.msg.IsEdns0(); theirs.opt.do && !asked.Do() {
		theirs.opt.do, changed = false, true
	}
	if theirs.rcode == dns.RcodeServerFailure && len(theirs.opt.options) == 0 {
		theirs.opt.options, changed = ours.opt.options, true
	}
	return changed
}

func betweenFile(q *question, ours, theirs *reply) bool {
	if q.name() != "b.file.test." && q.name() != "wild.file.test." || !empty(ours) || theirs.aa {
		return false
	}
	theirs.like(ours)
	return true
}

// templateAlias gives an answer the records that the alias of the template leads to.
func templateAlias(q *question, ours, theirs *reply) bool {
	if !below(q.name(), "lan.") || len(theirs.sections[answer]) != 1 || theirs.sections[answer][0].rrtype != "CNAME" ||
		!slices.Contains(ours.sections[answer], theirs.sections[answer][0]) ||
		slices.Contains([]uint16{dns.TypeA, dns.TypeAAAA, dns.TypeCNAME}, q.qtype()) {
		return false
	}
	theirs.like(ours)
	return true
}

func externalSerial(q *question, ours, theirs *reply) (changed bool) {
	for i := range theirs.sections {
		for j := range theirs.sections[i] {
			their := &theirs.sections[i][j]
			for _, our := range ours.sections[i] {
				if !below(q.name(), "ext.test.", "old.local.", "svc.cluster.local.svc.cluster.local.") || their.rrtype != "SOA" ||
					our.rrtype != "SOA" || serialless(our.data) != serialless(their.data) || our.data == their.data {
					continue
				}
				if was := strings.Fields(their.data)[2]; (was == "0" || recent(was)) && recent(strings.Fields(our.data)[2]) {
					their.data, changed = our.data, true
				}
			}
		}
	}
	return changed
}

func searchDomain(q *question, ours, theirs *reply) bool {
	if !strings.Contains(q.under, "\tautopath ") || q.name() != "one.test." || theirs.rcode != dns.RcodeServerFailure {
		return false
	}
	theirs.like(ours)
	theirs.rcode = ours.rcode
	return true
}

func chaosClass(q *question, ours, theirs *reply) bool {
	if !strings.Contains(q.under, "\tchaos") || theirs.rcode != dns.RcodeServerFailure || ours.rcode != dns.RcodeRefused ||
		!below(q.name(), "hostname.bind.", "id.server.", "version.bind.", "version.server.", "authors.bind.") {
		return false
	}
	theirs.rcode = ours.rcode
	return true
}

func anyOfStep(q *question, ours, theirs *reply) bool {
	if q.qtype() != dns.TypeANY || len(ours.sections[answer]) == 0 || ours.rcode != dns.RcodeSuccess ||
		q.apex() != "" && !q.reverse() && !strings.Contains(q.under, "\trewrite stop type AAAA A") || dns.IsSubDomain("example.com.", q.name()) || dns.IsSubDomain("b.test.", q.name()) &&
		!strings.HasPrefix(q.name(), "localhost.") {
		return false
	}
	theirs.like(ours)
	return true
}

// corefileRules explain the differences of TestSameCorefiles: those of the cluster zone, those of the steps, and what
// only whole Corefiles show.
var corefileRules = func() []rule {
	list := slices.Clone(wholeRules)
	how, say := indexOf(stepRules, "each record has its own TTL"), indexOf(rules, "recursion is available")
	for _, r := range slices.Concat(stepRules[:how], rules[:say], []rule{denial}, stepRules[how:], rules[say:]) {
		if indexOf(list, r.name) < 0 {
			list = append(list, r)
		}
	}
	return list
}()

func indexOf(list []rule, name string) int {
	return slices.IndexFunc(list, func(r rule) bool { return r.name == name })
}

// cacheLimit is the TTL that a cache is limited to, in seconds.
var cacheLimit = regexp.MustCompile(`\tcache\b *(?:\{\s+success \d+ )?(\d*)`)

// ownTTL gives records of our own data the TTLs that ours has, if theirs have been in the cache.
func ownTTL(q *question, ours, theirs *reply) (changed bool) {
	limit, age := cacheLimit.FindStringSubmatch(q.under), longest
	if q.age > 0 {
		age = int(q.age)
	}
	if limit == nil || !ours.aa && !below(q.name(), "file.test.") {
		return false
	}
	most, err := strconv.Atoi(limit[1])
	if err != nil {
		most = 3600 // the default
	}
	for i := range theirs.sections {
		for j := range theirs.sections[i] {
			their := &theirs.sections[i][j]
			for _, our := range ours.sections[i] {
				same := our.same(*their) || our.rrtype == "SOA" && their.rrtype == "SOA" &&
					strings.EqualFold(serialless(our.data), serialless(their.data))
				if same && our.ttl > their.ttl && int(their.ttl) <= most && (int(their.ttl)+age >= most || their.ttl <= shortest) {
					their.ttl, changed = our.ttl, true
				}
			}
		}
		sortRecords(theirs.sections[i])
	}
	return changed
}

// denialTTL gives the SOA of a denial the TTL that it has in ours, if that is no more than its MINIMUM and the rest of
// the message is as old.
func denialTTL(q *question, ours, theirs *reply) (changed bool) {
	if !strings.Contains(q.under, "\tcache ") && !below(q.name(), "file.test.") || len(ours.sections[authority]) != 1 || len(theirs.sections[authority]) != 1 {
		return false
	}
	our, their := ours.sections[authority][0], &theirs.sections[authority][0]
	f := strings.Fields(our.data)
	if our.rrtype != "SOA" || !our.same(*their) || our.ttl >= their.ttl {
		return false
	}
	minimum, err := strconv.Atoi(f[len(f)-1])
	if err != nil || int(our.ttl) > minimum {
		return false
	}
	their.ttl = our.ttl
	return true
}

// own replaces the addresses in a Corefile that each server has for itself.
func own(t *testing.T, corefile, ready string) string {
	local := func() string { return net.JoinHostPort("127.0.0.1", process.FreePort(t)) }
	return strings.NewReplacer("READY", ready, "HEALTH", local(), "METRICS", local()).Replace(corefile)
}
