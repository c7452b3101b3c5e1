package server

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/server/config"
	"github.com/clusterdns/clusterdns/server/logs"
	"github.com/clusterdns/clusterdns/watch"
	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// listed is what the flags of records say.
type listed struct {
	paths                                   several
	kubeconfig, context, zone, name, output string
	ttl                                     time.Duration
}

// records prints every record that manifests, or the objects of a cluster, imply. Mistakes in them go to stderr.
func (c *console) records(arguments []string) error {
	if len(arguments) > 0 && arguments[0] == "diff" {
		return c.recordsDiff(arguments[1:])
	}
	o, words, err := readListed("clusterdns records", arguments)
	if err != nil {
		return err
	}
	if o.kubeconfig != "" && o.context == "" && len(words) == 1 { // -kubeconfig FILE CONTEXT
		o.context, words = words[0], nil
	}
	o.paths = append(o.paths, words...) // -f a.yaml b.yaml, as a shell writes -f *.yaml
	switch {
	case o.kubeconfig != "" && len(o.paths) > 0:
		return errors.New("-kubeconfig and -f: give one of them")
	case o.kubeconfig == "" && len(o.paths) == 0:
		return errors.New("clusterdns records: -f PATH says where the manifests are: a folder, a file, or - for standard input; " +
			"-kubeconfig FILE lists a live cluster")
	}
	lines, mistakes, err := c.list(o)
	if err != nil {
		return err
	}
	if o.output == "json" {
		err = writeJSON(c.out, lines)
	} else {
		_, err = io.WriteString(c.out, strings.Join(lines, ""))
	}
	return cmp.Or(err, mistakes)
}

// readListed reads the flags of records, and of records diff; words are the arguments that are no flags.
func readListed(name string, arguments []string) (o *listed, words []string, err error) {
	o = &listed{}
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.Var(&o.paths, "f", "")
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "")
	flags.StringVar(&o.context, "context", "", "")
	flags.StringVar(&o.name, "name", "", "")
	flags.StringVar(&o.output, "o", "", "")
	domain := flags.String("zone", "cluster.local.", "")
	written := flags.String("ttl", "5", "")
	if words, err = parseWords(flags, arguments); err != nil {
		return nil, nil, err
	}
	if o.ttl, err = parseTTL(*written); err != nil {
		return nil, nil, err
	}
	o.zone = dns.CanonicalName(*domain)
	if o.zone == "." {
		return nil, nil, errors.New("-zone: the root is not a domain such as cluster.local")
	}
	if err := resolver.CheckZone(o.zone); err != nil {
		return nil, nil, fmt.Errorf("-zone: %q: %w", *domain, err)
	}
	if o.output != "" && o.output != "json" {
		return nil, nil, fmt.Errorf("-o: got %q, wants json", o.output)
	}
	return o, words, nil
}

// list is the lines of the zone file, each with its end. mistakes is not nil where manifests have some: they have been
// said, and the lines are those of the rest.
func (c *console) list(o *listed) (lines []string, mistakes, err error) {
	options := watch.Options{Kubeconfig: o.kubeconfig, Context: o.context}
	if o.kubeconfig == "" {
		folder, remove, err := c.manifestsIn(o.paths)
		if err != nil {
			return nil, nil, err
		}
		defer remove()
		options.Manifests, options.VerifyPods = folder, true
	}
	log := slog.New(logs.NewHandler(c.err, watch.Remark))
	index, counters, err := readCluster(context.Background(), options, log)
	if err != nil {
		return nil, nil, fmt.Errorf("clusterdns records: %w", err)
	}
	own, err := ownRecords(index, o.zone, o.ttl)
	if err != nil {
		return nil, nil, err
	}
	text := bytes.NewBufferString(own)
	if err := index.Snapshot().WriteText(text, o.zone, uint32(o.ttl.Seconds())); err != nil {
		return nil, nil, err
	}
	lines = slices.Collect(strings.Lines(text.String()))
	if o.name != "" {
		if lines = named(lines, o.name, o.zone); len(lines) == 0 {
			return nil, nil, fmt.Errorf("-name: nothing is called %q%s", o.name, nearest(index, o.name))
		}
	}
	c.sayIgnored(counters.Ignored)
	if o.kubeconfig == "" && counters.Problems > 0 {
		mistakes = mistaken(counters.Problems)
	}
	return lines, mistakes, nil
}

func (c *console) sayIgnored(kinds map[string]int) {
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		fmt.Fprintf(c.err, "ignored (has no DNS names): %s (%d)\n", kind, kinds[kind])
	}
}

func mistaken(n uint64) error {
	if n == 1 {
		return errors.New("clusterdns records: a mistake in the manifests; see above")
	}
	return fmt.Errorf("clusterdns records: %d mistakes in the manifests; see above", n)
}

// named are the lines about what a name may mean: a service, "web.shop", a namespace, or a whole name; with what is
// below it, and the PTR records that point there.
func named(lines []string, name, zone string) []string {
	name = dns.CanonicalName(name)
	domains := []string{name, name + "svc." + zone, name + "pod." + zone, name + zone}
	return slices.DeleteFunc(lines, func(line string) bool {
		words := strings.Fields(line)
		if !strings.HasPrefix(line, ";") && len(words) > 4 && words[3] != "PTR" {
			words = words[:1] // what another name points at is not about it
		}
		return !slices.ContainsFunc(words, func(word string) bool {
			return strings.HasSuffix(word, ".") && slices.ContainsFunc(domains, func(domain string) bool {
				return dns.IsSubDomain(domain, word)
			})
		})
	})
}

// nearest suggests a service or a namespace.
func nearest(index *zones.Index, name string) string {
	var names []string
	for s := range index.Snapshot().EachService {
		service, namespace := s.Names()
		names = append(names, service+"."+namespace, namespace)
	}
	slices.Sort(names)
	return config.DidYouMean(name, slices.Compact(names))
}

// listedRecord is a record, as -o json has it.
type listedRecord struct {
	Name string `json:"name"`
	TTL  int    `json:"ttl"`
	Type string `json:"type"`
	Data string `json:"data"`
}

// writeJSON prints lines of a zone file as one object: records, and what only comments say.
func writeJSON(to io.Writer, lines []string) error {
	all := struct {
		Records []listedRecord `json:"records"`
		Notes   []string       `json:"notes"`
	}{[]listedRecord{}, []string{}}
	for _, line := range lines {
		line = strings.TrimSuffix(line, "\n")
		if note, is := strings.CutPrefix(line, "; "); is {
			all.Notes = append(all.Notes, note)
			continue
		}
		words := strings.SplitN(line, " ", 5) // owner TTL IN type data
		ttl, err := strconv.Atoi(words[1])
		if err != nil {
			return err
		}
		all.Records = append(all.Records, listedRecord{words[0], ttl, words[3], words[4]})
	}
	encoder := json.NewEncoder(to)
	encoder.SetIndent("", "  ")
	return encoder.Encode(all)
}

// recordsDiff prints what two listings differ in, as diff does: status 1 when they do, 2 when that cannot be told.
func (c *console) recordsDiff(arguments []string) error {
	o, words, err := readListed("clusterdns records diff", arguments)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return err
	case err != nil:
	case len(words) != 2 || len(o.paths) > 0 || o.kubeconfig != "" || o.output != "":
		err = errors.New("clusterdns records diff: wants two of a folder, a file, or - for standard input")
	case words[0] == "-" && words[1] == "-":
		err = errors.New("clusterdns records diff: standard input can be read only once")
	}
	var sides [2][]string
	for i := 0; i < 2 && err == nil; i++ {
		side := *o
		side.paths, side.name = several{words[i]}, ""
		var mistakes error
		sides[i], mistakes, err = c.list(&side)
		err = cmp.Or(err, mistakes)
		if o.name != "" {
			sides[i] = named(sides[i], o.name, o.zone)
		}
	}
	if err != nil {
		return &exit{statusTrouble, err}
	}
	changes := difference(sides[0], sides[1])
	if _, err := io.WriteString(c.out, strings.Join(changes, "")); err != nil {
		return &exit{statusTrouble, err}
	}
	if len(changes) > 0 {
		return &exit{status: statusDifferent}
	}
	return nil
}

// difference is the lines that one of two lists has, by name, what is gone before what came.
func difference(before, after []string) (changes []string) {
	count := map[string]int{}
	for _, line := range before {
		count[line]--
	}
	for _, line := range after {
		count[line]++
	}
	for line, n := range count {
		switch {
		case n < 0:
			changes = append(changes, "- "+line)
		case n > 0:
			changes = append(changes, "+ "+line)
		}
	}
	owner := func(line string) string {
		return strings.Fields(strings.TrimPrefix(line[2:], "; "))[0]
	}
	slices.SortFunc(changes, func(a, b string) int {
		return cmp.Or(cmp.Compare(owner(a), owner(b)), cmp.Compare(b[:1], a[:1]), cmp.Compare(a, b))
	})
	return changes
}

// parseTTL reads seconds, as a Corefile has them, or a duration.
func parseTTL(written string) (time.Duration, error) {
	ttl, err := time.ParseDuration(written)
	if seconds, failed := strconv.ParseUint(written, 10, 16); failed == nil {
		ttl, err = time.Duration(seconds)*time.Second, nil
	}
	if err != nil || ttl < 0 || ttl > time.Hour {
		return 0, fmt.Errorf("-ttl: got %q, wants seconds or a duration such as 1m, from 0 to 1h", written)
	}
	return ttl, nil
}

// ownRecords is the zone-file lines of the records at and around the apex, as a server on this machine answers them:
// SOA, NS with its address, dns-version. The serial is 1, so that equal manifests print equal files.
func ownRecords(index *zones.Index, zone string, ttl time.Duration) (lines string, err error) {
	view := resolver.Kubernetes{Zones: []string{zone}, Index: index, TTL: ttl}
	block := resolver.Block{Zones: []string{zone}, Kubernetes: []resolver.Kubernetes{view}}
	r, err := resolver.New(resolver.Options{Blocks: []resolver.Block{block}}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return "", err
	}
	request := &resolver.Request{Now: time.Now(), Proto: resolver.TCP, Local: netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	for _, q := range []struct {
		name  string
		qtype uint16
	}{{zone, dns.TypeSOA}, {zone, dns.TypeNS}, {"dns-version." + zone, dns.TypeTXT}} {
		m := new(dns.Msg).SetQuestion(q.name, q.qtype)
		packet, err := m.Pack()
		if err != nil {
			return "", fmt.Errorf("-zone: %w", err)
		}
		reply, _ := r.Respond(context.Background(), request, packet, make([]byte, wire.MaxMessage))
		if err := m.Unpack(reply); err != nil {
			return "", err
		}
		for _, record := range append(m.Answer, m.Extra...) {
			if soa, ok := record.(*dns.SOA); ok {
				soa.Serial = 1
			}
			lines += strings.ReplaceAll(record.String(), "\t", " ") + "\n"
		}
	}
	return lines, nil
}
