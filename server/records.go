package server

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/server/logs"
	"github.com/clusterdns/clusterdns/watch"
	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// records prints every record that manifests imply. Mistakes in them go to stderr.
func (c *console) records(arguments []string) error {
	flags := flag.NewFlagSet("clusterdns records", flag.ContinueOnError)
	var paths several
	flags.Var(&paths, "f", "manifests")
	domain := flags.String("zone", "cluster.local.", "cluster domain")
	written := flags.String("ttl", "5", "TTL of the records")
	if err := parseFlags(flags, arguments); err != nil {
		return err
	}
	ttl, err := parseTTL(*written)
	if err != nil {
		return err
	}
	zone := dns.CanonicalName(*domain)
	if len(paths) == 0 {
		return errors.New("clusterdns records: -f PATH says where the manifests are: a folder, a file, or - for standard input")
	}
	if zone == "." {
		return errors.New("-zone: the root is not a domain such as cluster.local")
	}
	if err := resolver.CheckZone(zone); err != nil {
		return fmt.Errorf("-zone: %q: %w", *domain, err)
	}
	folder, remove, err := c.manifestsIn(paths)
	if err != nil {
		return err
	}
	defer remove()
	options := watch.Options{Manifests: folder}
	options.VerifyPods = true
	log := slog.New(logs.NewHandler(c.err, slog.LevelWarn))
	index, counters, err := readCluster(context.Background(), options, log)
	if err != nil {
		return fmt.Errorf("clusterdns records: %w", err)
	}
	own, err := ownRecords(index, zone, ttl)
	if err != nil {
		return err
	}
	fmt.Fprint(c.out, own)
	if err := index.Snapshot().WriteText(c.out, zone, uint32(ttl.Seconds())); err != nil {
		return err
	}
	for _, kind := range slices.Sorted(maps.Keys(counters.Ignored)) {
		fmt.Fprintf(c.err, "ignored (has no DNS names): %s (%d)\n", kind, counters.Ignored[kind])
	}
	switch n := counters.Problems; {
	case n == 1:
		return errors.New("clusterdns records: a mistake in the manifests; see above")
	case n > 1:
		return fmt.Errorf("clusterdns records: %d mistakes in the manifests; see above", n)
	}
	return nil
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
