package config

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/resolver"
)

// The defaults of forward that are set here, which are CoreDNS's.
const (
	defaultMaxFails     = 2
	defaultHealthCheck  = 500 * time.Millisecond
	defaultHealthDomain = "."
)

// proxyMaxFails is the one default in which proxy differs from forward.
const proxyMaxFails = 1

// forward FROM TO… { … }
func (b *blockReader) forward(a *args) {
	f := newForward()
	f.From = a.from()
	a.upstreams(f)
	a.options(forwardOptions(f))
	for _, u := range f.To {
		if u.ServerName != "" && f.ServerName != "" {
			a.fail("tls_servername is %q, and an upstream says %q: give one of them", f.ServerName, u.ServerName)
		}
	}
	if f.MaxAge > 0 && f.MaxAge < f.Expire {
		a.fail("max_age %v is less than expire %v, after which an idle connection is closed anyway", f.MaxAge, f.Expire)
	}
	b.addForward(a, f)
}

// addForward adds f behind the forwards of the block that stand before it, of which the first takes each of its names.
func (b *blockReader) addForward(a *args, f *resolver.Forward) {
	for i := range b.Steps.Forwards {
		before := &b.Steps.Forwards[i]
		spared := func(zone string) bool { return dns.IsSubDomain(f.From, zone) || dns.IsSubDomain(zone, f.From) }
		if a.err == nil && dns.IsSubDomain(before.From, f.From) && len(before.Next) == 0 && !before.NextOnNoData &&
			!slices.ContainsFunc(before.Except, spared) {
			a.warnf("is never asked: the forward of %s that stands before it takes all names of %s",
				before.From, f.From)
		}
	}
	b.Steps.Forwards = append(b.Steps.Forwards, *f)
	b.forwards = append(b.forwards, a.at)
}

func newForward() *resolver.Forward {
	return &resolver.Forward{
		MaxFails:     defaultMaxFails,
		HealthCheck:  defaultHealthCheck,
		HealthDomain: defaultHealthDomain,
		Expire:       resolver.DefaultExpire,
		ReadTimeout:  resolver.DefaultReadTimeout,
	}
}

func forwardOptions(f *resolver.Forward) options {
	return options{
		"except":         func(a *args) { a.needsZone(); f.Except = append(f.Except, a.zones()...) },
		"force_tcp":      set(&f.ForceTCP),
		"prefer_udp":     set(&f.PreferUDP),
		"expire":         func(a *args) { f.Expire = a.duration(0, forever) },
		"max_idle_conns": func(a *args) { f.MaxIdle = a.number(0, math.MaxInt32) },
		"read_timeout":   func(a *args) { f.ReadTimeout = a.duration(positive, forever) },
		"max_fails":      func(a *args) { f.MaxFails = a.number(0, math.MaxInt32) },
		"tls":            func(a *args) { forwardTLS(a, f) },
		"tls_servername": func(a *args) { f.ServerName = a.word("a name") },
		"policy":         func(a *args) { f.Policy = choose(a, policies()) },
		"health_check":   func(a *args) { healthCheck(a, f) },
		"max_concurrent": func(a *args) { f.MaxConcurrent = a.number(0, math.MaxInt32) },
		"next":           func(a *args) { f.Next = append(f.Next, a.rcodes()...) },
		"failover":       func(a *args) { failover(a, f) },

		"failfast_all_unhealthy_upstreams": set(&f.FailFast),

		"max_age":              func(a *args) { f.MaxAge = a.duration(0, forever) },
		"max_connect_attempts": func(a *args) { f.MaxAttempts = cmp.Or(a.number(0, math.MaxInt32), resolver.NoAttemptLimit) },
		"next_on_nodata":       set(&f.NextOnNoData),
		"resolver":             func(a *args) { f.Resolvers = a.resolvers() },
		"source_address":       func(a *args) { f.Source = a.sourceAddress() },
		"doh_method":           func(a *args) { f.DoHGet = choose(a, map[string]bool{"GET": true, "POST": false}) },
	}
}

func policies() map[string]resolver.Policy {
	return map[string]resolver.Policy{
		"random": resolver.Random, "round_robin": resolver.RoundRobin, "sequential": resolver.Sequential,
	}
}

// from reads the first word, a zone.
func (a *args) from() string {
	w := a.word("FROM TO…, such as . /etc/resolv.conf")
	if a.err != nil {
		return ""
	}
	k, err := parseKey(w, 0)
	if err != nil {
		a.fail("%v", err)
		return ""
	}
	if len(k.zones) > 1 {
		a.warnf("%s is %d zones, only %s is forwarded", w, len(k.zones), k.zones[0])
	}
	return k.zones[0]
}

func (a *args) needsZone() {
	if !a.more() {
		a.fail("needs a zone")
	}
}

// tls [CA | CERT KEY | CERT KEY CA]
func forwardTLS(a *args, f *resolver.Forward) {
	f.CertFile, f.KeyFile, f.CAFile = "", "", ""
	switch w := a.rest(); len(w) {
	case 0:
	case 1:
		f.CAFile = w[0]
	case 2:
		f.CertFile, f.KeyFile = w[0], w[1]
	case 3:
		f.CertFile, f.KeyFile, f.CAFile = w[0], w[1], w[2]
	default:
		a.fail("unexpected %q, wants at most CERT KEY CA", w[3])
	}
	if f.CertFile != "" {
		a.checkKeyPair(f.CertFile, f.KeyFile)
	}
	if f.CAFile != "" {
		a.checkRoots(f.CAFile)
	}
}

// health_check DURATION [no_rec] [domain FQDN]
func healthCheck(a *args, f *resolver.Forward) {
	f.HealthCheck = a.duration(0, forever)
	f.HealthDomain, f.HealthNoRec = defaultHealthDomain, false
	for a.more() {
		if choose(a, map[string]bool{"no_rec": true, "domain": false}) {
			f.HealthNoRec = true
			continue
		}
		w := a.word("a domain name after domain")
		if a.err == nil && !isDomainName(w) {
			a.fail("got %q, wants a domain name", w)
		}
		f.HealthDomain = dns.CanonicalName(w)
	}
}

func (a *args) rcodes() (all []uint16) {
	for _, w := range a.atLeastOne("an rcode such as NXDOMAIN") {
		code, known := dns.StringToRcode[strings.ToUpper(w)]
		if !known {
			a.fail("got %q, wants an rcode such as NXDOMAIN or SERVFAIL", w)
		}
		all = append(all, uint16(code))
	}
	return all
}

// resolvers reads the addresses, each with or without a port, of those who know the addresses of upstreams.
func (a *args) resolvers() (all []netip.AddrPort) {
	const want = "the IP address of a DNS server, perhaps with a port"
	for _, w := range a.atLeastOne(want) {
		address, ok := upstreamAddress(w, dnsPort)
		if !ok {
			a.fail("got %q, wants %s", w, want)
		}
		all = append(all, address)
	}
	return all
}

// sourceAddress reads an address of this machine, where queries are to come from.
func (a *args) sourceAddress() netip.Addr {
	const want = "an IP address of this machine"
	w := a.word(want)
	address, err := netip.ParseAddr(w)
	if err != nil {
		a.fail("got %q, wants %s", w, want)
	}
	return address.Unmap()
}

func failover(a *args, f *resolver.Forward) {
	for _, code := range a.rcodes() {
		if code == dns.RcodeSuccess {
			a.fail("NOERROR is an answer, not a reason to try the next upstream")
		}
		f.Failover = append(f.Failover, code)
	}
}

// proxy FROM TO… { … } was forward's name until CoreDNS 1.5. What it has in common with forward is read; the rest has
// no effect.
func (b *blockReader) proxy(a *args) {
	a.warnf("is outdated and read as forward")
	f := newForward()
	f.MaxFails = proxyMaxFails
	f.From = a.from()
	a.upstreams(f)
	a.options(options{
		"except":       func(o *args) { o.needsZone(); f.Except = append(f.Except, o.zones()...) },
		"max_fails":    func(o *args) { f.MaxFails = o.number(0, math.MaxInt32) },
		"policy":       func(o *args) { f.Policy = choose(o, proxyPolicies()) },
		"protocol":     func(o *args) { proxyProtocol(o, f) },
		"fail_timeout": outdated,
		"health_check": outdated,
		"spray":        outdated,
	})
	b.addForward(a, f)
}

func proxyPolicies() map[string]resolver.Policy {
	all := policies()
	all["least_conn"], all["first"] = resolver.Random, resolver.Sequential
	return all
}

// protocol dns [force_tcp]
func proxyProtocol(a *args, f *resolver.Forward) {
	choose(a, map[string]bool{"dns": true})
	if a.more() {
		f.ForceTCP = choose(a, map[string]bool{"force_tcp": true})
	}
}

func usesForward(b *Block) bool { return len(b.Steps.Forwards) > 0 && !isGRPC(b.Steps.Forwards[0]) }

func summarizeForwards(b *Block, s *summary) {
	for i := range b.Steps.Forwards {
		l := summarizeForward(&b.Steps.Forwards[i], s)
		if isGRPC(b.Steps.Forwards[i]) {
			l.passes(b.Steps.Onward)
		}
	}
}

func summarizeForward(f *resolver.Forward, s *summary) *line {
	directive := "forward"
	if isGRPC(*f) {
		directive = "grpc"
	}
	l := s.step("%s %s to", directive, f.From)
	for _, u := range f.To {
		l.WriteString(" " + upstreamName(u))
	}
	l.add(true, "%s", [...]string{"random", "round_robin", "sequential"}[f.Policy])
	l.add(len(f.Except) > 0, "except %s", names(f.Except))
	l.add(f.ForceTCP, "over TCP")
	l.add(f.PreferUDP && !f.ForceTCP, "over UDP first")
	l.add(f.MaxConcurrent > 0, "at most %d at a time", f.MaxConcurrent)
	l.add(f.MaxFails != defaultMaxFails && !isGRPC(*f), "max fails %d", f.MaxFails)
	l.add(f.HealthCheck != defaultHealthCheck || f.HealthDomain != defaultHealthDomain || f.HealthNoRec,
		"health check every %v for %s", f.HealthCheck, f.HealthDomain)
	l.add(f.HealthNoRec, "without recursion")
	l.add(f.MaxAttempts > 0 && !isGRPC(*f), "at most %d attempts", f.MaxAttempts)
	l.add(f.MaxAttempts < 0, "attempts until the time is over")
	l.add(f.Source.IsValid(), "from %s", f.Source)
	l.add(len(f.Resolvers) > 0, "names looked up by %s", strings.Trim(fmt.Sprint(f.Resolvers), "[]"))
	l.add(f.Expire != resolver.DefaultExpire, "expire %v", f.Expire)
	l.add(f.MaxAge > 0, "max age %v", f.MaxAge)
	l.add(f.MaxIdle > 0, "at most %d idle", f.MaxIdle)
	l.add(f.ReadTimeout != resolver.DefaultReadTimeout, "read timeout %v", f.ReadTimeout)
	l.add(f.ServerName != "", "TLS name %s", f.ServerName)
	l.add(f.CertFile != "", "certificate %s with key %s", f.CertFile, f.KeyFile)
	l.add(f.CAFile != "", "roots %s", f.CAFile)
	l.add(f.DoHGet, "by GET")
	l.add(f.FailFast, "fails fast")
	l.add(len(f.Next) > 0, "next on %s", rcodeNames(f.Next))
	l.add(f.NextOnNoData, "next on NODATA")
	l.add(len(f.Failover) > 0, "failover on %s", rcodeNames(f.Failover))
	return l
}

// schemes are those of upstreams, by resolver.Transport.
var schemes = [...]string{resolver.OverDNS: "", resolver.OverTLS: "tls://", resolver.OverQUIC: "quic://", resolver.OverHTTPS: "https://",
	resolver.OverGRPC: "grpc://", resolver.OverGRPCTLS: "grpc://"}

func upstreamName(u resolver.Upstream) string {
	scheme := schemes[u.Transport]
	sni := when(u.ServerName != "", "%%%s", u.ServerName)
	switch {
	case u.File != "":
		return scheme + u.File + sni
	case u.Host != "":
		return fmt.Sprintf("%s%s%s:%d", scheme, strings.TrimSuffix(u.Host, "."), sni, u.Port)
	case sni != "":
		address := u.Address.Addr().String() + sni
		if u.Address.Addr().Is6() {
			address = "[" + address + "]"
		}
		return fmt.Sprintf("%s%s:%d", scheme, address, u.Address.Port())
	}
	return scheme + u.Address.String()
}

func rcodeNames(codes []uint16) string {
	var all []string
	for _, c := range codes {
		all = append(all, dns.RcodeToString[int(c)])
	}
	return strings.Join(all, " ")
}
