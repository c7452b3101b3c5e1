package config

import (
	"fmt"
	"io/fs"
	"maps"
	"math"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/watch"
	"github.com/clusterdns/clusterdns/zones"
)

// defaultTTL is the TTL of the records of a cluster, as in CoreDNS.
const defaultTTL = 5 * time.Second

// kubernetesOptions is one kubernetes directive being read: what it serves, and from where.
type kubernetesOptions struct {
	resolver.Kubernetes
	Source
	namespaces []string
	selected   bool   // namespaces is given
	tls        *args  // the option, whose files matter with endpoint only
	rules      string // of visibility
	snapshotAt *args  // the option, with a file
	peersAt    *args  // the first of its lines about peers
	counted    bool   // toplevel is given
	refused    []string
	cluster    string              // cluster_id
	clusterAt  *args               // that option
	given      map[string]position // of options and lines of snapshot that may be given once
}

// kubernetes [ZONES…] { … }
func (b *blockReader) kubernetes(a *args) {
	c := &kubernetesOptions{
		Kubernetes: resolver.Kubernetes{TTL: defaultTTL},
		Source:     Source{At: a.at.String(), StartupTimeout: watch.StartupTimeout},
		given:      map[string]position{},
	}
	if len(b.Sources) > 0 {
		a.warnf("is the second of its block, of which CoreDNS takes one")
	}
	c.Zones = a.zonesOr(b.zones...)
	if a.err == nil && !slices.ContainsFunc(c.Zones, func(z string) bool { return !resolver.IsReverse(z) }) {
		a.fail("needs a zone for the names of services beside reverse zones: kubernetes cluster.local in-addr.arpa ip6.arpa")
	}
	a.options(c.options(b.folder))
	c.check(a)
	c.derive()
	b.Steps.Kubernetes = append(b.Steps.Kubernetes, c.Kubernetes)
	b.Sources, b.snapshots = append(b.Sources, c.Source), append(b.snapshots, c.snapshotAt)
}

// options are those of the block. CoreDNS has all but manifests, and upstream and resyncperiod no more.
func (c *kubernetesOptions) options(folder string) options {
	o := &c.Objects
	return options{
		"manifests": func(a *args) {
			o.Manifests = inFolder(folder, a.word("a folder"))
			a.checkFolder(o.Manifests)
		},
		"endpoint": c.last(func(a *args) { o.Endpoint = endpointURL(a) }),
		"tls": c.last(func(a *args) {
			o.CertFile, o.KeyFile, o.CAFile = a.word("CERT KEY CACERT"), a.word("KEY"), a.word("CACERT")
			c.tls = a
		}),
		"kubeconfig":             c.last(func(a *args) { kubeconfig(a, o) }),
		"apiserver_qps":          func(a *args) { o.QPS = a.rate() },
		"apiserver_burst":        func(a *args) { o.Burst = a.number(0, math.MaxInt32) },
		"apiserver_max_inflight": func(a *args) { o.MaxInflight = a.number(0, math.MaxInt32) },
		"namespaces": func(a *args) {
			c.selected, c.namespaces = true, append(c.namespaces, namespaces(a)...)
		},
		"namespace_labels":   c.last(func(a *args) { o.NamespaceLabels = selector(a) }),
		"labels":             c.last(func(a *args) { o.Labels = selector(a) }),
		"pods":               c.last(func(a *args) { c.Pods = choose(a, podModes()) }),
		"endpoint_pod_names": set(&o.PodNames),
		"ttl":                c.last(func(a *args) { c.TTL = a.seconds(0, 3600) }),
		"noendpoints":        set(&o.NoEndpoints),
		"fallthrough":        func(a *args) { c.Fallthrough.Zones = a.zonesOr(".") },
		"ignore": func(a *args) {
			o.IgnoreEmpty = choose(a, map[string]bool{"empty_service": true})
			a.skipAbsent()
		},
		"multicluster":    func(a *args) { c.MultiCluster = a.zones() },
		"cluster_id":      c.once(func(a *args) { c.cluster, c.clusterAt = clusterID(a), a }),
		"zonal":           set(&o.Zonal),
		"affinity":        set(&o.Affinity),
		"nearest":         c.once(func(a *args) { o.Nearest = nearest(a) }),
		"visibility":      c.visibility,
		"toplevel":        c.toplevel,
		"startup_timeout": c.last(func(a *args) { c.StartupTimeout = a.duration(0, forever) }),
		"snapshot":        func(a *args) { c.snapshot(a, folder) },
		"upstream":        outdated,
		"resyncperiod":    outdated,
	}
}

// once is the reader of an option that may be given once.
func (c *kubernetesOptions) once(read func(*args)) func(*args) {
	return func(a *args) {
		if c.again(a) {
			a.fail("may be given once, and is at %s", c.given[a.title])
			return
		}
		read(a)
	}
}

// last is the reader of an option whose last line counts, as in CoreDNS.
func (c *kubernetesOptions) last(read func(*args)) func(*args) {
	return func(a *args) {
		if c.again(a) {
			a.warnf("takes the place of that at %s, as in CoreDNS", c.given[a.title])
		}
		read(a)
	}
}

// again reports whether an option, or a line of snapshot, has been read already.
func (c *kubernetesOptions) again(a *args) bool {
	if _, given := c.given[a.title]; given {
		return true
	}
	c.given[a.title] = a.at
	return false
}

// leastSnapshotAge is the time between two writes of a snapshot: one that may be no older than that would seldom be served.
const leastSnapshotAge = time.Minute

// snapshot FILE [MAX_AGE]
// snapshot peers ADDRESS:PORT…
// snapshot listen ADDRESS:PORT
// snapshot secret FILE
// snapshot tls CERT KEY CA [NAME]
func (c *kubernetesOptions) snapshot(a *args, folder string) {
	lines := c.peerOptions()
	if read := lines[a.peek()]; read != nil {
		a.title += ": " + a.word("")
		if c.peersAt == nil {
			c.peersAt = a
		}
		read(a)
		return
	}
	if len(a.words) > 1 {
		hint := DidYouMean(a.words[0], slices.Collect(maps.Keys(lines)))
		if _, err := time.ParseDuration(a.words[1]); err != nil && hint != "" {
			a.fail("%q begins no line of it%s", a.words[0], hint)
			return
		}
	}
	c.once(func(a *args) { c.snapshotFile(a, folder) })(a)
}

// snapshotFile reads `snapshot FILE [MAX_AGE]`.
func (c *kubernetesOptions) snapshotFile(a *args, folder string) {
	o := &c.Objects.Snapshot
	o.Path, o.MaxAge = inFolder(folder, a.word("a file")), watch.SnapshotMaxAge
	if a.more() {
		o.MaxAge = a.duration(leastSnapshotAge, forever)
	}
	if a.err != nil {
		return
	}
	if info, err := fs.Stat(a.files, a.rooted(o.Path)); err == nil && info.IsDir() {
		a.fail("%q is a folder, wants a file in it", o.Path)
	}
	c.snapshotAt = a
}

func podModes() map[string]zones.Pods {
	return map[string]zones.Pods{
		"disabled": zones.PodsDisabled, "insecure": zones.PodsInsecure, "verified": zones.PodsVerified,
	}
}

// nearest [off|hints|zone|node]
func nearest(a *args) zones.Nearest {
	if !a.more() {
		return zones.NearestHints
	}
	return choose(a, zones.NearestModes())
}

// clusterID reads the id of a cluster. Names of endpoints have it as a label, so that case does not count.
func clusterID(a *args) string {
	id := strings.ToLower(a.word("the id of this cluster"))
	if a.err == nil && !namespace.MatchString(id) { // a DNS label as well
		a.fail("%q is not a DNS label", id)
	}
	return id
}

// outdated warns of an option that older releases of CoreDNS had and newer ones ignore or refuse.
func outdated(a *args) { a.hasNoEffect("is outdated and") }

// inFolder is a path that is relative to folder, "" for none given.
func inFolder(folder, name string) string {
	if name == "" || path.IsAbs(name) {
		return path.Clean(name)
	}
	return path.Join(folder, name)
}

// endpoint URL. Without a scheme client-go takes https when tls is given, and http otherwise.
func endpointURL(a *args) string {
	const want = "the URL of an API server such as https://10.96.0.1:443"
	w := a.word(want)
	if more := a.rest(); len(more) > 0 {
		a.warnf("only the first address is used, not %s", strings.Join(more, " "))
	}
	whole := w
	if !strings.Contains(w, "://") {
		whole = "https://" + w
	}
	u, err := url.Parse(whole)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		a.fail("got %q, wants %s", w, want)
	}
	return w
}

// kubeconfig FILE [CONTEXT]
func kubeconfig(a *args, o *watch.Options) {
	o.Kubeconfig, o.Context = atHome(a.word("a file")), ""
	if a.more() {
		o.Context = a.word("")
	}
	content, ok := a.content(o.Kubeconfig)
	if !ok {
		return
	}
	if err := watch.CheckKubeconfig(content, o.Kubeconfig, o.Context); err != nil {
		a.fail("%q %v", o.Kubeconfig, err)
	}
}

// atHome is a file with ~ written out, as a shell does it.
func atHome(file string) string {
	if rest, ok := strings.CutPrefix(file, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	return file
}

func (a *args) rate() float32 {
	w := a.word("a number of 0 or more")
	f, err := strconv.ParseFloat(w, 32)
	if err != nil || !(f >= 0 && f <= math.MaxFloat32) {
		a.fail("got %q, wants a number of 0 or more", w)
	}
	return float32(f)
}

// selector reads a label selector. The lexer has split it at its spaces.
func selector(a *args) string {
	text := strings.Join(a.atLeastOne("a label selector such as app=web"), " ")
	if err := watch.CheckSelector(text); err != nil {
		a.fail("%q: %v", text, err)
	}
	return text
}

// namespaces reads names of namespaces, which are DNS labels in lower case (RFC 1123 section 2.1). A name that no
// namespace can have would hide them all.
func namespaces(a *args) []string {
	var names []string
	for first := true; first || a.more(); first = false {
		name := a.word("a namespace")
		if a.absent() {
			continue
		}
		if !namespace.MatchString(name) {
			a.fail("%q is not the name of a namespace", name)
		}
		names = append(names, name)
	}
	return names
}

var namespace = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

func usesKubernetes(b *Block) bool { return len(b.Steps.Kubernetes) > 0 }

func summarizeKubernetes(b *Block, s *summary) {
	for i := range b.Steps.Kubernetes {
		k, from := &b.Steps.Kubernetes[i], &b.Sources[i]
		l := s.step("kubernetes %s from %s", names(k.Zones), origin(from.Objects))
		l.add(true, "ttl %s", seconds(k.TTL))
		l.add(k.Pods == zones.PodsInsecure, "pods insecure")
		l.add(k.Pods == zones.PodsVerified, "pods verified")
		l.add(from.Objects.Zonal, "zonal")
		l.add(from.Objects.Affinity, "affinity")
		l.add(from.Objects.Nearest != zones.NearestUnset, "nearest %s", nearestWord(from.Objects.Nearest))
		l.add(len(k.MultiCluster) > 0, "multicluster %s", names(k.MultiCluster))
		l.add(from.Imports.Cluster != "", "of imports%s cluster %s first", when(from.Imports.ClusterOff, " that say so"), from.Imports.Cluster)
		l.add(from.Objects.Namespaces == noNamespace, "no namespace")
		l.add(!slices.Contains([]string{"", noNamespace}, from.Objects.Namespaces),
			"namespaces %s", from.Objects.Namespaces)
		l.add(from.Objects.NamespaceLabels != "", "namespaces with %s", from.Objects.NamespaceLabels)
		l.add(from.Objects.Labels != "", "objects with %s", from.Objects.Labels)
		l.add(from.Objects.PodNames, "endpoint pod names")
		l.add(k.Visibility != nil, "clients see %s", sight(k.Visibility, from.Objects.Visibility))
		l.add(from.Objects.Toplevel.Labels != "", "%s", guarded(from.Objects.Toplevel))
		l.add(from.Objects.NoEndpoints, "no endpoints")
		l.add(from.Objects.IgnoreEmpty, "ignores empty services")
		l.add(from.StartupTimeout != watch.StartupTimeout, "startup timeout %v", from.StartupTimeout)
		if file := from.Objects.Snapshot; file.Path != "" {
			l.add(true, "snapshot %s for %v", file.Path, file.MaxAge)
			l.add(file.Peers.Ask != "", "asks the peers %s for theirs", file.Peers.Ask)
			l.add(file.Peers.Listen != "", "gives it to peers at %s", file.Peers.Listen)
		}
		l.passes(k.Fallthrough)
	}
}

// nearestWord is the word for a choice of endpoints.
func nearestWord(n zones.Nearest) string {
	for word, mode := range zones.NearestModes() {
		if mode == n {
			return word
		}
	}
	return ""
}

// origin says where the objects come from.
func origin(o watch.Options) string {
	switch {
	case o.Manifests != "":
		return "manifests in " + o.Manifests
	case o.Context != "":
		return fmt.Sprintf("kubeconfig %s, context %s", o.Kubeconfig, o.Context)
	case o.Kubeconfig != "":
		return "kubeconfig " + o.Kubeconfig
	case o.Endpoint != "":
		return o.Endpoint
	}
	return "the cluster it runs in"
}
