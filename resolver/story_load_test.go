package resolver_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/testdata/stories"
	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// A records section is read back into an index, so that answers are tested without compiling a cluster. The section is
// what zones.Snapshot.WriteText writes; a word that is not understood is an error.

// loader collects the records section of a story.
type loader struct {
	zone     string
	missing  zones.Kinds // not read yet
	services map[service]*names
	changes  []func(*zones.Tx)
	cluster  map[netip.Addr]map[string]bool // PTR targets of each address

	external map[bool]*loader // what services are called outside, with and without the flag headless
	headless bool
}

type service struct{ namespace, name string }

// names is the owner names of a service.
type names struct {
	absent string
	affine bool
	twins  map[netip.Addr]netip.Addr // of pods with both: IPv6 to IPv4
	list   map[string]*records       // by name below the service
}

type records struct {
	addrs []netip.Addr
	srv   []*dns.SRV
	alias string
}

// load is an index that holds what a section of the story says. A story without the section is of an empty cluster.
func load(t testing.TB, s *stories.Story, section, zone string) *zones.Index {
	t.Helper()
	l := newLoader(zone)
	l.external = map[bool]*loader{false: newLoader(zone), true: newLoader(zone)}
	l.external[true].headless = true
	for _, line := range s.Lines(section) {
		if err := l.line(strings.TrimSpace(line)); err != nil {
			t.Fatalf("%s: %s%v", section, line, err)
		}
	}
	index := zones.NewIndex()
	index.Update(time.Now(), func(tx *zones.Tx) {
		l.each(t, tx.SetService)
		for _, outside := range l.external {
			outside.each(t, func(r *zones.ServiceRecords) { tx.SetExternal(r) })
		}
		for _, change := range l.changes {
			change(tx)
		}
		tx.SetSynced((zones.ServiceKinds | zones.PodObjects | zones.Nodes) &^ l.missing)
	})
	return index
}

func newLoader(zone string) *loader {
	return &loader{zone: zone, services: map[service]*names{}, cluster: map[netip.Addr]map[string]bool{}}
}

// each builds each service.
func (l *loader) each(t testing.TB, yield func(*zones.ServiceRecords)) {
	t.Helper()
	for k, n := range l.services {
		unit, err := l.build(k, n)
		if err != nil {
			t.Fatalf("%v: %v", k, err)
		}
		yield(unit)
	}
}

// line takes in one line.
func (l *loader) line(text string) error {
	for begin, headless := range map[string]bool{"; external: ": false, "; external, headless: ": true} {
		if outside, found := strings.CutPrefix(text, begin); found {
			return l.external[headless].line(strings.ReplaceAll(outside, "@", "svc."+l.zone))
		}
	}
	if words, found := strings.CutPrefix(text, "; not read yet: "); found {
		return l.unread(words)
	}
	if comment, found := strings.CutPrefix(text, "; "); found {
		owner, words, _ := strings.Cut(comment, " ")
		if pod, isPod := strings.CutPrefix(words, "is of pod "); isPod {
			return l.details(owner, strings.Fields(pod))
		}
		return l.comment(owner, words)
	}
	rr, err := dns.NewRR(text)
	if err != nil || rr == nil {
		return fmt.Errorf("not a record: %w", err)
	}
	return l.record(rr)
}

func (l *loader) unread(words string) error {
	kinds := []zones.Kinds{zones.Services, zones.Slices, zones.Namespaces, zones.PodObjects}
	for word := range strings.SplitSeq(words, ", ") {
		i := slices.IndexFunc(kinds, func(k zones.Kinds) bool { return k.String() == word })
		if i < 0 {
			return fmt.Errorf("%q is no kind of objects", word)
		}
		l.missing |= kinds[i]
	}
	return nil
}

// details takes in the name and the labels of the pod whose record stands in the line before.
func (l *loader) details(owner string, words []string) error {
	label, space, _ := strings.Cut(strings.TrimSuffix(owner, ".pod."+l.zone), ".")
	addr, err := netip.ParseAddr(strings.ReplaceAll(label, "-", "."))
	if err != nil {
		return err
	}
	labels := map[string]string{}
	for _, word := range words[1:] {
		key, value, _ := strings.Cut(word, "=")
		labels[key] = value
	}
	plain := zones.LivePod{Namespace: space, Addr: addr}
	pod := plain
	pod.Details, _ = zones.NewPodDetails(words[0], labels, 1<<20)
	l.changes = append(l.changes, func(tx *zones.Tx) { tx.DropPod(plain); tx.AddPod(pod) })
	return nil
}

// comment takes in what a zone file cannot say of a name.
func (l *loader) comment(owner, words string) error {
	below, found := strings.CutSuffix(owner, ".svc."+l.zone)
	why, isAbsent := strings.CutPrefix(words, "has no names: ")
	switch {
	case !found:
		return fmt.Errorf("%s is not below svc.%s", owner, l.zone)
	case isAbsent:
		_, s := l.names(below)
		s.absent = why
	case words == "has an endpoint that comes first for each client":
		_, s := l.names(below)
		s.affine = true
	case strings.HasPrefix(words, "is at "):
		return l.twin(below, words)
	case strings.HasPrefix(words, "sees by rules "):
		var sees, shown zones.Rules
		_, err := fmt.Sscanf(words, "sees by rules %x, is seen by %x", &sees, &shown)
		l.changes = append(l.changes, func(tx *zones.Tx) { tx.SetVisibility(below, sees, shown) })
		return err
	case words == "is refused":
		l.changes = append(l.changes, func(tx *zones.Tx) { tx.SetRefused(below, true) })
	case words != "exists, without records":
		return fmt.Errorf("not a comment that is known")
	case !strings.Contains(below, "."):
		l.changes = append(l.changes, func(tx *zones.Tx) { tx.SetNamespace(below, true) })
	default:
		l.owner(below)
	}
	return nil
}

// twin takes in the addresses of a pod that has both.
func (l *loader) twin(below, words string) error {
	v6, v4, _ := strings.Cut(strings.TrimPrefix(words, "is at "), " and ")
	key, err := netip.ParseAddr(v6)
	if err != nil {
		return err
	}
	twin, err := netip.ParseAddr(v4)
	_, s := l.names(below)
	s.twins[key] = twin
	return err
}

// names is the service that a name below svc.<zone> belongs to, and the name below the service.
func (l *loader) names(below string) (relative string, s *names) {
	labels := strings.Split(below, ".")
	n := max(len(labels)-2, 0)
	k := service{labels[len(labels)-1], strings.Join(labels[n:len(labels)-1], ".")}
	if l.services[k] == nil {
		l.services[k] = &names{list: map[string]*records{}, twins: map[netip.Addr]netip.Addr{}}
	}
	return strings.Join(labels[:n], "."), l.services[k]
}

func (l *loader) owner(below string) *records {
	relative, s := l.names(below)
	if s.list[relative] == nil {
		s.list[relative] = &records{}
	}
	return s.list[relative]
}

func (l *loader) record(rr dns.RR) error {
	name := rr.Header().Name
	below, isService := strings.CutSuffix(name, ".svc."+l.zone)
	pod, isPod := strings.CutSuffix(name, ".pod."+l.zone)
	addr, isAddr := addressOf(rr)
	ptr, isPTR := rr.(*dns.PTR)
	switch {
	case isPTR:
		return l.pointer(ptr)
	case isPod && isAddr:
		_, namespace, _ := strings.Cut(pod, ".")
		l.changes = append(l.changes, func(tx *zones.Tx) { tx.AddPod(zones.LivePod{Namespace: namespace, Addr: addr}) })
		return nil
	case !isService:
		return fmt.Errorf("%s is neither below svc.%s nor below pod.%s", name, l.zone, l.zone)
	}
	r := l.owner(below)
	switch rr := rr.(type) {
	case *dns.A, *dns.AAAA:
		r.addrs = append(r.addrs, addr)
	case *dns.SRV:
		r.srv = append(r.srv, rr)
	case *dns.CNAME:
		r.alias = rr.Target
	default:
		return fmt.Errorf("no record of this type comes from a cluster")
	}
	return nil
}

func addressOf(rr dns.RR) (addr netip.Addr, ok bool) {
	switch rr := rr.(type) {
	case *dns.A:
		addr, ok = netip.AddrFromSlice(rr.A.To4())
	case *dns.AAAA:
		addr, ok = netip.AddrFromSlice(rr.AAAA.To16())
	}
	return addr, ok
}

// pointer remembers that an address has a PTR record to a name.
func (l *loader) pointer(ptr *dns.PTR) error {
	addr, err := addressOfReverse(ptr.Hdr.Name)
	if err != nil {
		return err
	}
	if l.cluster[addr] == nil {
		l.cluster[addr] = map[string]bool{}
	}
	l.cluster[addr][ptr.Ptr] = true
	return nil
}

// addressOfReverse is the address whose reverse name this is.
func addressOfReverse(name string) (netip.Addr, error) {
	labels := dns.SplitDomainName(name)
	slices.Reverse(labels)
	if len(labels) == 6 && labels[1] == "in-addr" {
		return netip.ParseAddr(strings.Join(labels[2:], "."))
	}
	if len(labels) == 34 && labels[1] == "ip6" {
		var text strings.Builder
		for i, digit := range labels[2:] {
			if i > 0 && i%4 == 0 {
				text.WriteByte(':')
			}
			text.WriteString(digit)
		}
		return netip.ParseAddr(text.String())
	}
	return netip.Addr{}, fmt.Errorf("%s is not the reverse name of an address", name)
}

// build compiles one service.
func (l *loader) build(k service, n *names) (*zones.ServiceRecords, error) {
	var b zones.Builder
	b.Start(k.namespace, k.name)
	if l.headless {
		b.Headless()
	}
	if n.affine {
		b.Affine()
	}
	for v6, v4 := range n.twins {
		b.Twin(v6, v4)
	}
	if k.namespace == "kube-system" { // as watch.Options has it outside a cluster
		b.Front()
	}
	if n.absent != "" {
		b.NoNames(n.absent)
		return b.Build()
	}
	below := "." + k.name + "." + k.namespace + ".svc." + l.zone
	for relative, r := range n.list {
		owner := b.Name(relative)
		for _, addr := range r.addrs {
			b.Address(owner, addr)
			if l.cluster[addr][strings.TrimPrefix(relative+below, ".")] {
				b.Reverse(owner, relative == "")
			}
		}
		if r.alias != "" {
			target := make([]byte, 256)
			size, err := dns.PackDomainName(r.alias, target, 0, nil, false)
			if err != nil {
				return nil, err
			}
			b.Alias(owner, target[:size])
		}
		for _, srv := range r.srv {
			target, found := strings.CutSuffix("."+srv.Target, below)
			if found {
				b.SRV(owner, b.Name(strings.TrimPrefix(target, ".")), b.Ports(1, srv.Port))
				continue
			}
			host, err := wire.ParseName(srv.Target)
			if err != nil {
				return nil, err
			}
			b.SRV(owner, b.Host(host), b.Ports(1, srv.Port))
		}
		if err := weigh(&b, owner, r.srv); err != nil {
			return nil, err
		}
	}
	return b.Build()
}

// weigh adds to owner what has no record of its own and yet has a share of the weight, so that each record weighs what
// it should.
func weigh(b *zones.Builder, owner zones.Name, list []*dns.SRV) error {
	if len(list) == 0 {
		return nil
	}
	for total := len(list); total <= 100; total++ {
		if max(1, 100/total) == int(list[0].Weight) {
			return nil
		}
		b.SRV(owner, owner, b.Ports(1)) // no records
	}
	return fmt.Errorf("%d records of weight %d are no share of 100", len(list), list[0].Weight)
}
