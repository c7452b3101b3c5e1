package traffic

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// maxFailures is how many failures are kept of each kind: names that do not exist, and the rest.
const maxFailures = 100

// Failure is a question that had no answer, perhaps several times.
type Failure struct {
	Name, Reason string // Name in wire form
	Type, Rcode  uint16
	Info         uint16
	N            uint64
	Last         time.Time
	Client       netip.Addr // the last one
}

// failures are the last ones, the newest last.
type failures struct {
	list    []*Failure
	evicted *uint64
}

func (f *failures) add(s *Sample) {
	same := func(o *Failure) bool {
		return o.Type == s.Type && o.Rcode == s.Rcode && o.Info == s.Info && o.Name == string(s.Name()) &&
			o.Reason == string(s.Reason())
	}
	var entry *Failure
	if i := slices.IndexFunc(f.list, same); i >= 0 {
		entry = f.list[i]
		f.list = slices.Delete(f.list, i, i+1)
	} else {
		entry = &Failure{Name: string(s.Name()), Reason: string(s.Reason()), Type: s.Type, Rcode: s.Rcode, Info: s.Info}
		if len(f.list) == maxFailures {
			*f.evicted++
			f.list = slices.Delete(f.list, 0, 1)
		}
	}
	entry.N += uint64(s.Weight)
	entry.Last, entry.Client = s.At, s.Client.Addr()
	f.list = append(f.list, entry)
}

// recent is the failures of all lists, the newest first.
func recent(lists ...*failures) (all []Failure) {
	for _, f := range lists {
		for _, entry := range f.list {
			all = append(all, *entry)
		}
	}
	slices.SortStableFunc(all, func(a, b Failure) int { return cmp.Compare(b.Last.UnixNano(), a.Last.UnixNano()) })
	return all
}
