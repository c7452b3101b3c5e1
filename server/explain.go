package server

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/server/config"
	"github.com/clusterdns/clusterdns/server/explain"
	"github.com/clusterdns/clusterdns/server/logs"
	"github.com/clusterdns/clusterdns/server/terminal"
	"github.com/clusterdns/clusterdns/watch"
	"github.com/clusterdns/clusterdns/zones"
)

const explainFlags = "  -from NAMESPACE     ask as a pod of this namespace does; with -kubeconfig NAMESPACE/POD as this pod does\n" +
	"  -search A,B,C       the search list (default that of -from, or of /etc/resolv.conf)\n" +
	"  -ndots NUMBER       dots from which a name is asked for as it is first (default 5; without -search and -from that of /etc/resolv.conf)\n" +
	"  -libc LIBC          glibc, musl or go, which search differently (default glibc)\n" +
	"  -type TYPE          one type (default A and AAAA, as getaddrinfo asks)\n" +
	"  -server ADDRESS     the server that is asked (default the first of /etc/resolv.conf); or http://HOST:PORT, its directive dashboard\n" +
	"  -f PATH             ask manifests instead: a folder, a file, or - for standard input\n" +
	"  -kubeconfig FILE    ask the objects of a live cluster instead, with permission to list them; a context may follow\n" +
	"  -context NAME       of the kubeconfig (default its current one)\n" +
	"  -zone ZONE          cluster domain (default cluster.local)\n" +
	"  -o json             print one JSON object\n" +
	"The exit status is 0 if the name resolves, and 1 if it does not.\n"

// explained is what the flags of explain say.
type explained struct {
	name, from, search, libc, qtype, server, kubeconfig, context, zone, output string
	ndots                                                                      int
	paths                                                                      several
}

// explain says why a name resolves or not.
func (c *console) explain(arguments []string) error {
	o, err := readExplained(arguments)
	if err != nil {
		return err
	}
	q, err := o.question()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	report, err := c.report(ctx, o, &q)
	if err != nil {
		return err
	}
	if o.output == "json" {
		encoder := json.NewEncoder(c.out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(report)
	} else {
		report.Print(c.out)
	}
	if err == nil && !report.Resolves {
		return &exit{status: 1}
	}
	return err
}

// report asks, or lets the page of a server ask, whose URL is given as the server.
func (c *console) report(ctx context.Context, o *explained, q *explain.Question) (*explain.Report, error) {
	if !strings.Contains(o.server, "://") {
		if err := c.answerer(ctx, o, q); err != nil {
			return nil, err
		}
		return explain.Explain(ctx, *q), nil
	}
	if o.search != "" || o.ndots >= 0 {
		return nil, errors.New("-search and -ndots: the page of a server takes the search list of -from")
	}
	query := url.Values{"name": {o.name}, "libc": {string(q.Stub.Libc)}, "from": {o.from}, "type": {o.qtype}}
	report := &explain.Report{}
	if err := terminal.Get(ctx, o.server, "/explain", query, report); err != nil {
		return nil, fmt.Errorf("clusterdns explain: %w", err)
	}
	return report, nil
}

func readExplained(arguments []string) (*explained, error) {
	o := &explained{}
	flags := flag.NewFlagSet("clusterdns explain", flag.ContinueOnError)
	flags.StringVar(&o.from, "from", "", "")
	flags.StringVar(&o.search, "search", "", "")
	flags.IntVar(&o.ndots, "ndots", -1, "")
	flags.StringVar(&o.libc, "libc", "glibc", "")
	flags.StringVar(&o.qtype, "type", "", "")
	flags.StringVar(&o.server, "server", "", "")
	flags.Var(&o.paths, "f", "")
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "")
	flags.StringVar(&o.context, "context", "", "")
	flags.StringVar(&o.zone, "zone", "cluster.local", "")
	flags.StringVar(&o.output, "o", "", "")
	words, err := parseWords(flags, arguments)
	if err != nil {
		return nil, err
	}
	if o.kubeconfig != "" && o.context == "" && len(words) == 2 { // NAME -kubeconfig FILE CONTEXT
		o.context, words = words[1], words[:1]
	}
	switch {
	case len(words) > 1:
		return nil, fmt.Errorf("unexpected argument %q; clusterdns explain -h lists the flags", words[1])
	case len(words) == 1:
		o.name = words[0]
	}
	if sources := len(o.paths) + btoi(o.server != "") + btoi(o.kubeconfig != ""); sources > max(1, len(o.paths)) {
		return nil, errors.New("-server, -kubeconfig and -f: give one of them")
	}
	if o.name == "" {
		return nil, errors.New("clusterdns explain: which name? For example: clusterdns explain web.prod -from dev")
	}
	if o.output != "" && o.output != "json" {
		return nil, fmt.Errorf("-o: got %q, wants json", o.output)
	}
	return o, nil
}

// parseWords reads flags, and the words before, between and behind them.
func parseWords(flags *flag.FlagSet, arguments []string) (words []string, err error) {
	flags.SetOutput(io.Discard)
	for {
		if err := flags.Parse(arguments); err != nil {
			return nil, parseFlags(flags, arguments)
		}
		if flags.NArg() == 0 {
			return words, nil
		}
		words, arguments = append(words, flags.Arg(0)), flags.Args()[1:]
	}
}

func btoi(is bool) int {
	if is {
		return 1
	}
	return 0
}

// question is all but who is asked.
func (o *explained) question() (q explain.Question, err error) {
	if q.Name, err = explain.CheckName(o.name); err != nil {
		return q, err
	}
	if q.Types, err = explain.ParseTypes(o.qtype); err != nil {
		return q, fmt.Errorf("-type: %w", err)
	}
	libc, err := explain.ParseLibc(o.libc)
	if err != nil {
		return q, fmt.Errorf("-libc: %w", err)
	}
	q.Zone = strings.TrimSuffix(strings.ToLower(o.zone), ".")
	if o.from != "" || len(o.paths) > 0 || o.kubeconfig != "" { // this machine's search list says nothing of those
		pod := ""
		if q.From, pod, err = explain.CheckNamespace(o.from); err != nil {
			return q, fmt.Errorf("-from: %w", err)
		}
		switch {
		case pod != "" && o.kubeconfig == "" && !strings.Contains(o.server, "://"):
			q.Notes = append(q.Notes, "Pod "+o.from+" is not read without -kubeconfig: its dnsPolicy, dnsConfig and hostNetwork do not show.")
		case pod != "" && o.search != "":
			q.Notes = append(q.Notes, "Pod "+o.from+" is not read, since -search says what its search list is.")
		}
	}
	q.Stub, err = o.stub(libc, q.From, q.Zone)
	return q, err
}

// stub is the stub resolver: that of a pod with -from, else this machine's, with what the flags change.
func (o *explained) stub(libc explain.Libc, from, zone string) (explain.Stub, error) {
	stub := explain.Pod(libc, from, zone)
	if from == "" {
		stub = explain.Stub{Libc: libc, Ndots: 1}
		if local, err := dns.ClientConfigFromFile("/etc/resolv.conf"); err == nil {
			stub.Search, stub.Ndots = local.Search, local.Ndots
		}
	}
	if o.search != "" {
		stub.Search, stub.Ndots = strings.Split(o.search, ","), 5
		for _, domain := range stub.Search {
			if _, ok := dns.IsDomainName(domain); !ok {
				return stub, fmt.Errorf("-search: %q is not a domain name", domain)
			}
		}
	}
	if o.ndots >= 0 {
		stub.Ndots = o.ndots
	}
	return stub, nil
}

// answerer chooses who is asked: a server, or the same resolver in this process over objects that are read once.
func (c *console) answerer(ctx context.Context, o *explained, q *explain.Question) error {
	options := watch.Options{Kubeconfig: o.kubeconfig, Context: o.context}
	switch {
	case len(o.paths) > 0:
		folder, remove, err := c.manifestsIn(o.paths)
		if err != nil {
			return err
		}
		defer remove()
		options, q.Asked = watch.Options{Manifests: folder}, strings.Join(o.paths, ", ")
		options.VerifyPods = true
	case o.kubeconfig != "":
		q.Asked = "the objects of the cluster in " + o.kubeconfig
	default:
		server, err := serverOf(o.server)
		q.Ask, q.Asked, q.Elsewhere = explain.Server(server), server.String(), nearestElsewhere
		return err
	}
	index, counters, err := readCluster(ctx, options, slog.New(logs.NewHandler(c.err, slog.LevelWarn)))
	if err != nil {
		return fmt.Errorf("clusterdns explain: %w", err)
	}
	q.Index, q.NoSlices = index, counters.Objects["endpointslices"] == 0
	if _, pod, is := strings.Cut(o.from, "/"); is && o.kubeconfig != "" && o.search == "" {
		dns, err := watch.ReadPodDNS(ctx, options, q.From, pod)
		if err != nil {
			return err
		}
		q.From = o.from
		asPod(q, &dns)
	}
	r, err := clusterResolver(index, q.Zone+".", options.VerifyPods)
	q.Ask = explain.ClusterOnly(explain.InProcess(r, explain.Loopback), q.Zone)
	return err
}

// nearestElsewhere says how to get what a server does not tell over DNS.
const nearestElsewhere = "A server does not tell what is like it. -kubeconfig FILE in the place of -server does, and so does -server " +
	"http://HOST:PORT with the address of a clusterdns's directive dashboard."

// asPod makes the search list that of a pod, as the kubelet writes it: dnsPolicy, then dnsConfig.
func asPod(q *explain.Question, pod *watch.PodDNS) {
	note := ""
	switch policy := pod.Policy; {
	case policy == "None":
		q.Stub.Search, q.Stub.Ndots = nil, 1
		note = "The pod has dnsPolicy None: its dnsConfig is all there is. It may ask another server than the cluster's."
	case policy == "Default":
		q.Stub.Search, q.Stub.Ndots = nil, 1
		note = "The pod has dnsPolicy Default: it asks the servers of its node, which do not know names of the cluster. dnsPolicy ClusterFirst asks the cluster's."
	case pod.HostNetwork && policy != "ClusterFirstWithHostNet":
		q.Stub.Search, q.Stub.Ndots = nil, 1
		note = "The pod has hostNetwork: it asks the servers of its node, which do not know names of the cluster. dnsPolicy ClusterFirstWithHostNet asks the cluster's."
	}
	if note != "" {
		q.Notes, q.Away = append(q.Notes, note), true
	}
	for _, search := range pod.Searches {
		if !slices.Contains(q.Stub.Search, search) {
			q.Stub.Search = append(q.Stub.Search, search)
		}
	}
	if n, err := strconv.Atoi(pod.Ndots); err == nil && n >= 0 {
		q.Stub.Ndots = n
	}
}

// clusterResolver answers for a cluster alone.
func clusterResolver(index *zones.Index, zone string, verifyPods bool) (*resolver.Resolver, error) {
	all := []string{zone, "in-addr.arpa.", "ip6.arpa."}
	view := resolver.Kubernetes{Zones: all, Index: index, Pods: zones.PodsInsecure}
	if verifyPods {
		view.Pods = zones.PodsVerified // else pods are not read
	}
	block := resolver.Block{Zones: all, Kubernetes: []resolver.Kubernetes{view}}
	return resolver.New(resolver.Options{Blocks: []resolver.Block{block}}, nil, slog.New(slog.DiscardHandler))
}

// serverOf is the address of a server, port 53 unless one is written; the first of /etc/resolv.conf for "".
func serverOf(written string) (netip.AddrPort, error) {
	if written == "" {
		local, err := dns.ClientConfigFromFile("/etc/resolv.conf")
		if err != nil || len(local.Servers) == 0 {
			return netip.AddrPort{}, errors.New("clusterdns explain: /etc/resolv.conf names no server; -server ADDRESS, -f PATH or -kubeconfig FILE says whom to ask")
		}
		written = local.Servers[0]
	}
	address, err := serverAddress(written)
	if err != nil {
		return address, fmt.Errorf("-server: got %q, wants an IP address, with a port if it is not 53", written)
	}
	return address, nil
}

// explainBase is what /explain needs of the program: the cluster, and the resolver of the first address.
func (p *Program) explainBase() explain.Base {
	c, _, resolvers, _ := p.now()
	b := explain.Base{Question: explain.Question{Zone: "cluster.local", Asked: "this server"}}
	if clusters := p.served(); len(clusters) > 0 {
		b.Zone, b.Index = strings.TrimSuffix(clusters[0].Zone, "."), clusters[0].Index
	}
	b.As = func(client netip.Addr) explain.Asker { return explain.InProcess(resolvers[0], client) }
	if c == nil || len(resolvers) == 0 {
		b.As = func(netip.Addr) explain.Asker {
			return func(context.Context, string, uint16) explain.Answer {
				return explain.Answer{Reason: "the server has not started"}
			}
		}
		return b
	}
	b.Toplevel = toplevelOf(c, b.Zone+".")
	return b
}

// toplevelOf is which labels the option toplevel counts for a zone of a cluster; nil where it is not given.
func toplevelOf(c *config.Config, zone string) func(label string) bool {
	for i := range c.Listeners {
		for j := range c.Listeners[i].Blocks {
			b := &c.Listeners[i].Blocks[j]
			for k := range b.Sources {
				if o := b.Sources[k].Objects.Toplevel; o.Labels != "" && forwardZone(b.Steps.Kubernetes[k].Zones) == zone {
					return o.Counts
				}
			}
		}
	}
	return nil
}
