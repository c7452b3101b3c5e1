package zones

import (
	"cmp"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strings"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// Pods is how <dashed address>.<namespace>.pod.<zone> is answered (option `pods`).
type Pods uint8

// The modes, as CoreDNS names them.
const (
	PodsDisabled Pods = iota // NXDOMAIN
	PodsInsecure             // any address in an existing namespace
	PodsVerified             // only addresses of live pods of that namespace
)

// dashed parses the address in a pod's label, such as 10-244-3-1 or fd00-244--11. It accepts what netip.ParseAddr
// accepts with dots or colons in place of the dashes, but does not allocate an error: queries for names that are not
// addresses are common.
func dashed(label []byte) (netip.Addr, bool) {
	if addr, ok := dashed4(label); ok {
		return addr, true
	}
	return dashed6(label)
}

func dashed4(label []byte) (netip.Addr, bool) {
	var ip [4]byte
	group, digits, value := 0, 0, 0
	for _, c := range label {
		switch {
		case c == '-' && digits > 0 && group < 3:
			ip[group] = byte(value)
			group, digits, value = group+1, 0, 0
		case c >= '0' && c <= '9' && (digits == 0 || value > 0):
			value = value*10 + int(c-'0')
			if digits++; value > 255 {
				return netip.Addr{}, false
			}
		default:
			return netip.Addr{}, false
		}
	}
	ip[3] = byte(value)
	return netip.AddrFrom4(ip), group == 3 && digits > 0
}

func dashed6(label []byte) (netip.Addr, bool) {
	var ip [16]byte
	n, gap := 0, -1 // octets so far, and the position of "::" among them
	for i := 0; i < len(label); {
		if label[i] == '-' {
			double := i+1 < len(label) && label[i+1] == '-'
			switch {
			case double && gap < 0:
				gap = n
				i += 2
				continue
			case double || i == 0 || gap == n:
				return netip.Addr{}, false
			}
			i++
		}
		value, digits := 0, 0
		for ; i < len(label) && digits < 5; i++ {
			d, ok := hex(label[i])
			if !ok {
				break
			}
			value, digits = value<<4|d, digits+1
		}
		if digits == 0 || digits > 4 || n == 16 {
			return netip.Addr{}, false
		}
		ip[n], ip[n+1] = byte(value>>8), byte(value)
		n += 2
		if i < len(label) && label[i] != '-' {
			return netip.Addr{}, false
		}
	}
	if gap < 0 {
		return netip.AddrFrom16(ip).Unmap(), n == 16
	}
	if n == 16 {
		return netip.Addr{}, false // "::" must stand for something
	}
	copy(ip[16-(n-gap):], ip[gap:n])
	clear(ip[gap : 16-(n-gap)])
	return netip.AddrFrom16(ip).Unmap(), true
}

func hex(c byte) (int, bool) {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0'), true
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10, true
	}
	return 0, false
}

// LivePod is a pod at one of its addresses.
type LivePod struct {
	Namespace string
	Addr      netip.Addr
	Host      bool  // on the network of its node, whose address others have too
	Started   int64 // in seconds since 1970; 0 when it has not
	Place     Place
	Details   *PodDetails
}

// PodDetails is what the directive metadata tells of a pod. It never changes.
type PodDetails struct {
	Name   string
	labels string // keys and values, each behind a zero octet: one string is smaller than a map
}

// NewPodDetails keeps the labels of a pod, in the order of their keys, up to that many octets. It returns how many it has
// left out.
func NewPodDetails(name string, labels map[string]string, octets int) (d *PodDetails, omitted int) {
	var text strings.Builder
	for i, key := range slices.Sorted(maps.Keys(labels)) {
		if text.Len()+len(key)+len(labels[key])+2 > octets {
			omitted = len(labels) - i
			break
		}
		text.WriteString("\x00" + key + "\x00" + labels[key])
	}
	return &PodDetails{name, text.String()}, omitted
}

// Pack is all of d as one text, for a file. A name of a pod has no zero octet.
func (d *PodDetails) Pack() string { return d.Name + d.labels }

// UnpackPodDetails is what Pack has made a text of.
func UnpackPodDetails(text string) *PodDetails {
	end := strings.IndexByte(text, 0)
	if end < 0 {
		end = len(text)
	}
	return &PodDetails{text[:end], text[end:]}
}

// String is the name of the pod, and its labels as KEY=VALUE.
func (d *PodDetails) String() string {
	text := d.Name
	for i, field := range strings.Split(d.labels, "\x00")[1:] {
		text += [2]string{" ", "="}[i%2] + field
	}
	return text
}

// Label is the value of a label.
func (d *PodDetails) Label(key string) (value string, ok bool) {
	fields := strings.SplitSeq(d.labels, "\x00")
	found, at := false, 0
	for field := range fields {
		if found {
			return field, true
		}
		found = at%2 == 1 && field == key
		at++
	}
	return "", false
}

// podAddress is an address with the live pods that have it.
type podAddress struct {
	addr string // 16 octets
	pods []podThere
}

// podThere is a pod at an address.
type podThere struct {
	label   string // of its namespace, in wire form
	details *PodDetails
	started uint32
	place   Place
	host    bool
}

func (p *podAddress) is(addr []byte) bool         { return p.addr == string(addr) }
func (p *podAddress) same(other *podAddress) bool { return p.addr == other.addr }
func (p *podAddress) sum() uint64                 { return hashString(p.addr) }

// hasPod reports whether a live pod of m's namespace has addr.
func (s *Snapshot) hasPod(m *Match, addr netip.Addr) bool {
	p := s.podsAt(m, addr)
	return p != nil && slices.ContainsFunc(p.pods, func(pod podThere) bool { return pod.label == string(m.Namespace) })
}

// PodNamespace is the namespace, as a label in wire form, of the pod that has addr; "" if there is none, or if the
// address is that of a node, which pods on its network share with all else that runs there. Of pods that seem to have
// one address, the youngest has it: the address of one that is gone may be given to another before the cluster knows.
// Nobody has it while not all pods have been read, or if two of different namespaces are the youngest. m is scratch.
func (s *Snapshot) PodNamespace(m *Match, addr netip.Addr) string {
	label, _ := s.PodAt(m, addr)
	return label
}

// PodAt is the namespace that PodNamespace says, with what is known of the pod: nil without details, or if two of the
// namespace are the youngest.
func (s *Snapshot) PodAt(m *Match, addr netip.Addr) (label string, details *PodDetails) {
	p := s.podsAt(m, addr)
	if p == nil || !s.Synced(PodObjects) {
		return "", nil
	}
	return p.youngest()
}

// podPlace is the namespace that PodAt says and the place of the pods that have addr, the youngest's; ok is false if none
// has.
func (s *Snapshot) podPlace(m *Match, addr netip.Addr) (label string, at Place, ok bool) {
	if !s.Synced(PodObjects) {
		return "", 0, false
	}
	p := s.podsAt(m, addr)
	if p == nil {
		return "", 0, false
	}
	label, _ = p.youngest()
	pod := slices.MaxFunc(p.pods, func(a, b podThere) int { return cmp.Compare(a.started, b.started) })
	return label, pod.place, true
}

// youngest is the namespace and the details of the pod that has the address.
func (p *podAddress) youngest() (label string, details *PodDetails) {
	first := &p.pods[0]
	label, details = first.label, first.details
	youngest := first.started
	for i := range p.pods {
		pod := &p.pods[i]
		switch {
		case pod.host:
			return "", nil
		case pod.started > youngest:
			youngest, label, details = pod.started, pod.label, pod.details
		case pod.started < youngest || pod == first:
		case pod.label != label:
			label, details = "", nil
		default:
			details = nil
		}
	}
	return label, details
}

// PodAddr is an address of a pod, where pods are read with their names, or else of an endpoint that is named after it, as
// those of a StatefulSet are; invalid for none. It looks through all of them.
func (s *Snapshot) PodAddr(namespace, pod string) (addr netip.Addr) {
	space, err := wire.ParseName(namespace)
	host, failed := wire.ParseName(pod)
	if err != nil || failed != nil {
		return addr
	}
	space, host = space[:len(space)-1], host[:len(host)-1]
	s.pods.each(func(p *podAddress) bool {
		for _, there := range p.pods {
			if there.label == string(space) && !there.host && there.details != nil && there.details.Name == pod {
				addr, _ = netip.AddrFromSlice([]byte(p.addr))
			}
		}
		return !addr.IsValid()
	})
	if !addr.IsValid() {
		s.services.each(func(r *ServiceRecords) bool {
			var n Node
			if r.owner[1+int(r.owner[0]):] == string(space) && r.find(&n, host) && n.flags&flagPTR != 0 {
				addr = n.first()
			}
			return !addr.IsValid()
		})
	}
	return addr.Unmap()
}

// first is the first address of n; invalid without one.
func (n *Node) first() (addr netip.Addr) {
	if len(n.a) > 0 {
		return netip.AddrFrom4([4]byte([]byte(n.a[:sizeA])))
	}
	addr, _ = netip.AddrFromSlice([]byte(n.aaaa[:min(len(n.aaaa), sizeAAAA)]))
	return addr
}

func (s *Snapshot) podsAt(m *Match, addr netip.Addr) *podAddress {
	ip := addr.As16()
	return s.pods.get(m.scratch[:copy(m.scratch[:], ip[:])])
}

// AddPod adds a live pod.
func (tx *Tx) AddPod(p LivePod) {
	pod, ok := tx.podThere(p)
	if !ok {
		return
	}
	entry := tx.podsAt(p.Addr)
	entry.pods = append(entry.pods, pod)
	tx.putPods(entry)
}

// DropPod removes a pod that AddPod has added.
func (tx *Tx) DropPod(p LivePod) {
	pod, ok := tx.podThere(p)
	if !ok {
		return
	}
	entry := tx.podsAt(p.Addr)
	if at := slices.Index(entry.pods, pod); at >= 0 {
		entry.pods = slices.Delete(entry.pods, at, at+1)
		tx.putPods(entry)
	}
}

func (tx *Tx) podThere(p LivePod) (podThere, bool) {
	label, err := wire.ParseName(p.Namespace)
	if err != nil {
		return podThere{}, false
	}
	started := uint32(min(max(p.Started, 0), math.MaxUint32))
	return podThere{tx.sharedLabel(label[:len(label)-1]), p.Details, started, p.Place, p.Host}, true
}

// podsAt is the pods at an address, for a change: those of the snapshot stay as they are.
func (tx *Tx) podsAt(addr netip.Addr) *podAddress {
	ip := addr.As16()
	entry := &podAddress{addr: string(ip[:])}
	if old := tx.snap.pods.get(ip[:]); old != nil {
		entry.pods = slices.Clone(old.pods)
	}
	return entry
}

func (tx *Tx) putPods(entry *podAddress) {
	tx.changed = true
	if len(entry.pods) == 0 {
		tx.snap.pods = tx.snap.pods.drop([]byte(entry.addr), tx.edit)
		return
	}
	tx.snap.pods = tx.snap.pods.put(entry, tx.edit)
}

// sharedLabel is the label of a namespace in the memory of its entry, if there is one.
func (tx *Tx) sharedLabel(label []byte) string {
	if n := tx.snap.namespaces.get(label); n != nil {
		return n.label
	}
	return string(label)
}
