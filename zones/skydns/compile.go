package skydns

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// The defaults of a record, which are CoreDNS's.
const (
	defaultTTL      = 300 // seconds
	defaultPriority = 10
	defaultWeight   = 100
)

// record is the value of one key.
type record struct {
	Host        string
	Port        int
	Priority    int
	Weight      int
	Text        string
	Mail        bool
	TTL         uint32
	TargetStrip int
	Group       string

	name  string     // of the key, absolute in wire form
	depth int        // labels of name
	addr  netip.Addr // of Host; zero if it is a name or empty
	host  string     // Host as a name in wire form; "" if it is none
	lease uint32     // seconds that the key's lease was granted for; 0 without a lease
	size  int        // octets that it takes
}

// parse reads a key below the prefix and its value. What cannot be a record is an error.
func parse(key string, value []byte) (*record, error) {
	r := &record{size: 512 + 2*len(key) + len(value)}
	if err := json.Unmarshal(value, r); err != nil {
		return nil, err
	}
	labels := strings.Split(strings.TrimSuffix(key, "/"), "/")
	slices.Reverse(labels)
	if slices.ContainsFunc(labels, func(l string) bool { return l == "" || strings.ContainsAny(l, ".\\") }) {
		return nil, errors.New("the key is no domain name")
	}
	name, err := wire.ParseName(strings.Join(labels, "."))
	if err != nil {
		return nil, fmt.Errorf("the key is no domain name: %w", err)
	}
	r.name, r.depth = string(name), len(labels)
	if r.Priority == 0 {
		r.Priority = defaultPriority
	}
	if r.Port > 0xffff || r.Priority < 0 || r.Priority > 0xffff || r.Weight < 0 {
		return nil, errors.New("port, priority or weight is out of range")
	}
	if r.Host == "" {
		return r, nil
	}
	if addr, err := netip.ParseAddr(r.Host); err == nil {
		r.addr = addr.Unmap().WithZone("")
		return r, nil
	}
	host, err := wire.ParseName(r.Host)
	if err != nil {
		return nil, fmt.Errorf("host %.60q is neither an address nor a domain name", r.Host)
	}
	r.host = string(host)
	return r, nil
}

// ttl is the smaller of the record's own and of its lease.
func (r *record) ttl() uint32 {
	switch {
	case r.lease == 0:
		return cmp.Or(r.TTL, defaultTTL)
	case r.TTL == 0:
		return r.lease
	}
	return min(r.TTL, r.lease)
}

// target is the name that SRV, MX and NS records point to: the host, or the name of the key, which has its address.
func (r *record) target() string {
	name := cmp.Or(r.host, r.name)
	stripped := name
	for range r.TargetStrip {
		if len(stripped) <= 1 {
			return name
		}
		stripped = stripped[1+int(stripped[0]):]
	}
	if len(stripped) <= 1 {
		return name
	}
	return stripped
}

// mostRecords is how many records of a name are kept: more addresses than a message over TCP holds.
const mostRecords = 4096

// compile makes the names at or below zones (in wire form) of records by their keys.
func compile(records map[string]*record, served []string, noApexFallback bool) *zones.Names {
	below, own := map[string][]*record{}, map[string]*record{}
	for _, key := range slices.Sorted(maps.Keys(records)) {
		r := records[key]
		zone := longest(r.name, served)
		if zone == "" {
			continue
		}
		own[r.name] = r
		for name := r.name; len(name) > len(zone); {
			name = name[1+int(name[0]):]
			if len(below[name]) < mostRecords {
				below[name] = append(below[name], r)
			}
		}
	}
	// Where there are keys below a name, its own key is not its record.
	of := func(name string) []*record {
		if list := below[name]; len(list) > 0 {
			return grouped(list)
		} else if r := own[name]; r != nil {
			return []*record{r}
		}
		return nil
	}
	nodes := map[string]*zones.NamesNode{}
	for name := range own {
		nodes[name] = node(name, of(name), own[name])
	}
	for name := range below {
		nodes[name] = node(name, of(name), own[name])
	}
	for _, zone := range served {
		if n := nodes[zone]; n != nil && nodes[zones.LabelAny+zone] == nil {
			any := *n // what any label below the zone stands for is not what the apex has
			any.RRsets = slices.Clone(n.RRsets)
			nodes[zones.LabelAny+zone] = &any
		}
		apex(nodes, zone, of, noApexFallback)
	}
	return zones.NewNames(nodes)
}

// longest is the longest of zones that name is at or below; "" for none.
func longest(name string, served []string) (zone string) {
	for _, z := range served {
		if len(z) > len(zone) && wire.Within([]byte(name), []byte(z)) {
			zone = z
		}
	}
	return zone
}

// grouped leaves out the records of other groups than that of the shortest key.
func grouped(list []*record) []*record {
	group, depth := list[0].Group, list[0].depth
	for _, r := range list {
		if r.depth < depth {
			if r.Group == "" {
				break
			}
			group, depth = r.Group, r.depth
		}
	}
	if group == "" {
		return list
	}
	var kept []*record
	for _, r := range list {
		if r.Group != "" && r.Group != group && r.depth == depth {
			return list // they disagree
		}
		if r.Group == "" || r.Group == group {
			kept = append(kept, r)
		}
	}
	return kept
}

// node makes the rrsets of a name. own is its key's record, if any: PTR records are made of that alone.
func node(name string, list []*record, own *record) *zones.NamesNode {
	n := &zones.NamesNode{}
	addresses(n, name, list)
	weights := map[int]int{}
	for _, r := range list {
		weights[r.Priority] += cmp.Or(r.Weight, defaultWeight)
	}
	for _, r := range list {
		if r.Text != "" && !r.addr.IsValid() {
			n.Add(wire.TypeTXT, r.ttl(), zones.Text(r.Text))
			continue
		}
		if r.Host == "" {
			continue
		}
		if r.Port >= 0 {
			weight := max(1, 100*cmp.Or(r.Weight, defaultWeight)/weights[r.Priority])
			n.Add(wire.TypeSRV, r.ttl(), numbered(r.target(), r.Priority, weight, r.Port))
		}
		if r.Mail {
			n.Add(wire.TypeMX, r.ttl(), numbered(r.target(), r.Priority))
		}
	}
	if own != nil && own.host != "" && own.Text == "" {
		n.Add(wire.TypePTR, own.ttl(), []byte(own.host))
	}
	return n
}

// addresses adds the addresses of list, or else makes the name an alias of the first host (RFC 2181 section 10.1). A
// host that the name is below, or is, would be a loop.
func addresses(n *zones.NamesNode, name string, list []*record) {
	found := false
	for _, r := range list {
		if r.addr.Is4() {
			n.Add(wire.TypeA, r.ttl(), r.addr.AsSlice())
		} else if r.addr.Is6() {
			n.Add(wire.TypeAAAA, r.ttl(), r.addr.AsSlice())
		}
		found = found || r.addr.IsValid()
	}
	if found || zones.IsArpa([]byte(name)) { // there the host of a key is a PTR record
		return
	}
	for _, r := range list {
		if r.host != "" && r.Text == "" && !wire.Within([]byte(r.host), []byte(name)) {
			n.Alias, n.AliasTTL = r.host, r.ttl()
			return
		}
	}
}

// numbered is the data of an SRV or MX record.
func numbered(target string, numbers ...int) (data []byte) {
	for _, n := range numbers {
		data = binary.BigEndian.AppendUint16(data, uint16(n))
	}
	return append(data, target...)
}

// apex gives a zone's own name the addresses that are kept at apex.dns.<zone>, and the name servers of ns.dns.<zone>.
// Without apex.dns it has those of all names below it, as SkyDNS had, unless that is off.
func apex(nodes map[string]*zones.NamesNode, zone string, of func(string) []*record, noFallback bool) {
	special := of("\x04apex\x03dns" + zone)
	n := nodes[zone]
	if n == nil {
		n = &zones.NamesNode{}
		nodes[zone] = n
	}
	if len(special) > 0 || noFallback {
		kept := slices.DeleteFunc(n.RRsets, func(s zones.RRset) bool {
			return s.Type == wire.TypeA || s.Type == wire.TypeAAAA
		})
		*n = zones.NamesNode{RRsets: kept}
		addresses(n, zone, special)
	}
	for _, r := range of("\x02ns\x03dns" + zone) {
		if r.addr.IsValid() {
			n.Add(wire.TypeNS, r.ttl(), []byte(r.target()))
		}
	}
}
