package config

import (
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/server/logs"
	"github.com/clusterdns/clusterdns/watch"
	"github.com/clusterdns/clusterdns/zones"
)

// Summary says what a Config does, for people: where it listens, for which zones, and the steps of each in the order they run.
func (c *Config) Summary() string {
	var out strings.Builder
	for _, l := range c.Listeners {
		l.summarize(&out)
	}
	for _, line := range c.process() {
		fmt.Fprintln(&out, line)
	}
	return out.String()
}

func (l *Listener) summarize(out *strings.Builder) {
	var where []string
	for _, a := range l.Addresses {
		where = append(where, describe(a))
	}
	fmt.Fprintf(out, "listen on %s\n", strings.Join(where, "; "))
	for _, b := range l.Blocks {
		fmt.Fprintf(out, "  zones %s (%s)\n", names(b.Steps.Zones), b.At)
		for _, line := range append(b.steps(), b.around()...) {
			fmt.Fprintf(out, "    %s\n", line)
		}
	}
}

// names shortens the list that a CIDR block expands to.
func names(all []string) string {
	if len(all) > 8 {
		return fmt.Sprintf("%s … %s (%d)", all[0], all[len(all)-1], len(all))
	}
	return strings.Join(all, " ")
}

// steps is a line for each of a query's steps.
func (b *Block) steps() (lines []string) {
	if h := b.Steps.Hosts; h != nil {
		lines = append(lines, summarizeHosts(h))
	}
	for i := range b.Steps.Kubernetes {
		lines = append(lines, summarizeKubernetes(&b.Steps.Kubernetes[i], &b.Sources[i]))
	}
	for i := range b.Steps.Transfers {
		lines = append(lines, summarizeTransfer(&b.Steps.Transfers[i]))
	}
	if c := b.Steps.Cache; c != nil {
		lines = append(lines, summarizeCache(c))
	}
	if b.Steps.Loop {
		lines = append(lines, "loop")
	}
	for i := range b.Steps.Forwards {
		lines = append(lines, summarizeForward(&b.Steps.Forwards[i]))
	}
	return lines
}

// sum collects what is worth saying of one step.
type sum struct{ strings.Builder }

func (s *sum) add(when bool, format string, values ...any) {
	if when {
		fmt.Fprintf(s, ", "+format, values...)
	}
}

func (s *sum) passes(f resolver.Fallthrough) {
	s.add(len(f.Zones) > 0, "falls through for %s", names(f.Zones))
}

func summarizeHosts(h *resolver.Hosts) string {
	s := &sum{}
	fmt.Fprintf(s, "hosts %s for %s", h.File, names(h.Zones))
	s.add(len(h.Inline) > 0, "%d inline", len(h.Inline))
	s.add(true, "ttl %s", seconds(h.TTL))
	s.add(h.Reload != 5*time.Second, "reload %v", h.Reload)
	s.add(h.NoReverse, "no reverse")
	s.passes(h.Fallthrough)
	return s.String()
}

func summarizeKubernetes(k *resolver.Kubernetes, from *Source) string {
	s := &sum{}
	fmt.Fprintf(s, "kubernetes %s from %s", names(k.Zones), origin(from.Objects))
	s.add(true, "ttl %s", seconds(k.TTL))
	s.add(k.Pods == zones.PodsInsecure, "pods insecure")
	s.add(k.Pods == zones.PodsVerified, "pods verified")
	s.add(from.Objects.Zonal, "zonal")
	s.add(len(k.MultiCluster) > 0, "multicluster %s", names(k.MultiCluster))
	s.add(from.Objects.Namespaces != "", "namespaces %s", from.Objects.Namespaces)
	s.add(from.Objects.NamespaceLabels != "", "namespaces with %s", from.Objects.NamespaceLabels)
	s.add(from.Objects.Labels != "", "objects with %s", from.Objects.Labels)
	s.add(from.Objects.PodNames, "endpoint pod names")
	s.add(from.Objects.NoEndpoints, "no endpoints")
	s.add(from.Objects.IgnoreEmpty, "ignores empty services")
	s.add(from.StartupTimeout != watch.StartupTimeout, "startup timeout %v", from.StartupTimeout)
	s.passes(k.Fallthrough)
	return s.String()
}

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

func summarizeTransfer(t *resolver.ZoneTransfer) string {
	s := &sum{}
	fmt.Fprintf(s, "transfer %s to", names(t.Zones))
	if t.Any {
		s.WriteString(" everybody")
	}
	for _, to := range t.To {
		s.WriteString(" " + to.String())
	}
	return s.String()
}

func summarizeCache(c *resolver.Cache) string {
	s := &sum{}
	fmt.Fprintf(s, "cache for %s", names(c.Zones))
	s.limit("success", &c.Success)
	s.limit("denial", &c.Denial)
	s.add(c.ServFail != 5*time.Second, "server failures %v", c.ServFail)
	s.add(c.Prefetch > 0, "prefetch after %d in %v at %d%%", c.Prefetch, c.PrefetchFor, c.PrefetchAt)
	s.add(c.ServeStale > 0 && !c.StaleVerify, "serve stale for %v", c.ServeStale)
	s.add(c.ServeStale > 0 && c.StaleVerify, "serve stale for %v after asking", c.ServeStale)
	s.add(len(c.DisableSuccess) > 0, "no success of %s", names(c.DisableSuccess))
	s.add(len(c.DisableDenial) > 0, "no denial of %s", names(c.DisableDenial))
	s.add(c.KeepTTL, "keeps TTLs")
	return s.String()
}

func (s *sum) limit(half string, l *resolver.CacheLimit) {
	s.add(true, "%s %d for %s-%s", half, l.Capacity, seconds(l.MinTTL), seconds(l.MaxTTL))
}

func summarizeForward(f *resolver.Forward) string {
	s := &sum{}
	fmt.Fprintf(s, "forward %s to", f.From)
	for _, u := range f.To {
		s.WriteString(" " + upstreamName(u))
	}
	s.add(true, "%s", [...]string{"random", "round_robin", "sequential"}[f.Policy])
	s.add(len(f.Except) > 0, "except %s", names(f.Except))
	s.add(f.ForceTCP, "over TCP")
	s.add(f.PreferUDP && !f.ForceTCP, "over UDP first")
	s.add(f.MaxConcurrent > 0, "at most %d at a time", f.MaxConcurrent)
	s.add(f.MaxFails != 2, "max fails %d", f.MaxFails)
	s.add(f.HealthCheck != 500*time.Millisecond || f.HealthDomain != "." || f.HealthNoRec, "health check every %v for %s", f.HealthCheck, f.HealthDomain)
	s.add(f.HealthNoRec, "without recursion")
	s.add(f.Expire != 10*time.Second, "expire %v", f.Expire)
	s.add(f.MaxIdle > 0, "at most %d idle", f.MaxIdle)
	s.add(f.ReadTimeout != 2*time.Second, "read timeout %v", f.ReadTimeout)
	s.add(f.ServerName != "", "TLS name %s", f.ServerName)
	s.add(f.CertFile != "", "certificate %s with key %s", f.CertFile, f.KeyFile)
	s.add(f.CAFile != "", "roots %s", f.CAFile)
	s.add(f.FailFast, "fails fast")
	s.add(len(f.Next) > 0, "next on %s", rcodeNames(f.Next))
	s.add(len(f.Failover) > 0, "failover on %s", rcodeNames(f.Failover))
	return s.String()
}

func upstreamName(u resolver.Upstream) string {
	if u.TLS {
		return "tls://" + u.Address.String()
	}
	return u.Address.String()
}

func rcodeNames(codes []uint16) string {
	var all []string
	for _, c := range codes {
		all = append(all, dns.RcodeToString[int(c)])
	}
	return strings.Join(all, " ")
}

// around is what the server does for a block beside its steps.
func (b *Block) around() (lines []string) {
	s := &sum{}
	s.add(b.Steps.Rotate, "loadbalance")
	s.add(b.Steps.Bufsize != standardBufsize, "bufsize %d", b.Steps.Bufsize)
	s.add(b.Errors != nil, "errors")
	s.add(b.Errors != nil && b.Errors.Stacktrace, "stacktrace")
	s.add(b.Prometheus != "", "prometheus")
	s.add(b.Ready, "ready")
	s.add(b.Debug, "debug")
	if s.Len() > 0 {
		lines = append(lines, "with "+s.String()[2:])
	}
	if b.Errors != nil {
		for _, c := range b.Errors.Consolidate {
			lines = append(lines, fmt.Sprintf("errors like %q once in %v as %v", c.Pattern, c.Period, c.Level))
		}
	}
	for _, l := range b.Log {
		lines = append(lines, fmt.Sprintf("log %s, %s, %s", l.Zone, classNames(l.Classes), formatName(l.Format)))
	}
	return lines
}

func classNames(set logs.Classes) string {
	if set == logs.AllClasses {
		return "all"
	}
	var all []string
	for i, name := range []string{"success", "denial", "error"} {
		if set&(1<<i) != 0 {
			all = append(all, name)
		}
	}
	return strings.Join(all, " ")
}

func formatName(format string) string {
	switch format {
	case logs.CommonLog:
		return "common"
	case logs.CombinedLog:
		return "combined"
	}
	return fmt.Sprintf("%q", format)
}

// process is a line for each endpoint of the process.
func (c *Config) process() (lines []string) {
	endpoint := func(name string, addresses []string, more string) {
		if len(addresses) > 0 {
			lines = append(lines, name+" "+strings.Join(addresses, " ")+more)
		}
	}
	endpoint("health", c.Health.Addresses, when(c.Health.Lameduck > 0, fmt.Sprintf(", lameduck %v", c.Health.Lameduck)))
	endpoint("ready", c.Ready.Addresses, when(c.Ready.Continuously, ", continuously"))
	endpoint("prometheus", c.Prometheus.Addresses, when(c.Prometheus.RuntimeMetrics, ", with runtime metrics"))
	endpoint("pprof", c.Pprof.Addresses, when(c.Pprof.BlockRate > 0, fmt.Sprintf(", block rate %d", c.Pprof.BlockRate)))
	if c.Reload.Interval > 0 {
		lines = append(lines, fmt.Sprintf("reload every %v, jitter %v", c.Reload.Interval, c.Reload.Jitter))
	}
	return lines
}

func when(yes bool, s string) string {
	if yes {
		return s
	}
	return ""
}

// seconds is a TTL as zone files write it.
func seconds(d time.Duration) string { return fmt.Sprintf("%ds", d/time.Second) }
