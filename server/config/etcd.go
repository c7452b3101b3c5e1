package config

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/zones/skydns"
)

// The defaults of etcd, which are CoreDNS's.
const (
	defaultEtcdPath     = "/skydns"
	defaultEtcdEndpoint = "http://localhost:2379"
	defaultMinLease     = 30 * time.Second
	defaultMaxLease     = 24 * time.Hour
)

// etcd [ZONES…] { path PATH; endpoint URL…; credentials USER PASSWORD; tls [CERT KEY] [CACERT]; fallthrough [ZONES…]; … }
func (b *blockReader) etcd(a *args) {
	e := resolver.Etcd{Options: skydns.Options{Path: defaultEtcdPath, Endpoints: []string{defaultEtcdEndpoint},
		MinLease: defaultMinLease, MaxLease: defaultMaxLease, Zones: a.zonesOr(b.zones...)}}
	a.options(options{
		"path": func(o *args) { e.Path = o.word("the path of the records such as /skydns") },
		"endpoint": func(o *args) {
			e.Endpoints = slices.Clone(o.atLeastOne("the URL of an etcd such as " + defaultEtcdEndpoint))
		},
		"credentials": func(o *args) {
			e.Username, e.Password = o.word("USERNAME PASSWORD"), o.word("PASSWORD")
		},
		"tls":              func(o *args) { etcdTLS(o, &e) },
		"fallthrough":      func(o *args) { e.Fallthrough.Zones = o.zonesOr(".") },
		"no_apex_fallback": set(&e.NoApexFallback),
		"min-lease-ttl":    func(o *args) { e.MinLease = o.leaseTTL() },
		"max-lease-ttl":    func(o *args) { e.MaxLease = o.leaseTTL() },
		"stubzones":        outdated,
		"upstream":         outdated,
		"debug":            outdated,
	})
	for i, text := range e.Endpoints {
		e.Endpoints[i] = etcdEndpoint(a, text, e.TLS)
	}
	if e.MinLease > e.MaxLease {
		a.fail("min-lease-ttl %v is more than max-lease-ttl %v", e.MinLease, e.MaxLease)
	}
	b.Steps.Etcd = append(b.Steps.Etcd, e)
}

// etcdTLS reads tls [CERT KEY] [CACERT].
func etcdTLS(o *args, e *resolver.Etcd) {
	e.TLS = true
	files := o.rest()
	if len(files) > 3 {
		o.fail("wants CACERT, or CERT KEY, or CERT KEY CACERT")
		return
	}
	if len(files) > 1 {
		e.CertFile, e.KeyFile = files[0], files[1]
		o.checkKeyPair(e.CertFile, e.KeyFile)
	}
	if len(files)%2 == 1 {
		e.CAFile = files[len(files)-1]
		o.checkRoots(e.CAFile)
	}
}

// leaseTTL reads seconds, or a duration with a unit.
func (a *args) leaseTTL() time.Duration {
	if seconds, err := strconv.ParseUint(a.peek(), 10, 31); err == nil {
		a.word("")
		return time.Duration(seconds) * time.Second
	}
	return a.duration(0, forever)
}

// etcdEndpoint is the URL that an endpoint stands for: without a scheme https where there is tls, else http.
func etcdEndpoint(a *args, text string, secure bool) string {
	if !strings.Contains(text, "://") {
		text = map[bool]string{false: "http://", true: "https://"}[secure] + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		a.fail("endpoint %q is not the URL of an etcd such as %s", text, defaultEtcdEndpoint)
		return ""
	}
	return u.Scheme + "://" + u.Host
}

func usesEtcd(b *Block) bool { return len(b.Steps.Etcd) > 0 }

func summarizeEtcd(b *Block, s *summary) {
	for i := range b.Steps.Etcd {
		e := &b.Steps.Etcd[i]
		l := s.step("etcd %s from %s at %s", names(e.Zones), e.Path, strings.Join(e.Endpoints, " "))
		l.add(e.Username != "", "as %s", e.Username)
		l.add(e.TLS, "tls")
		l.add(e.CertFile != "", "certificate %s", e.CertFile)
		l.add(e.CAFile != "", "roots %s", e.CAFile)
		l.add(e.NoApexFallback, "no apex fallback")
		l.add(e.MinLease != defaultMinLease || e.MaxLease != defaultMaxLease, "leases %v-%v", e.MinLease, e.MaxLease)
		l.passes(e.Fallthrough)
	}
}
