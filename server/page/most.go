package page

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/clusterdns/clusterdns/observe/traffic"
)

// mostRows bounds an answer.
const mostRows = 100

// Most is the answer of /api/top.
type Most struct {
	Of     string    `json:"of"`
	Since  time.Time `json:"since"`
	Sample uint32    `json:"sample"`
	Rows   []Row     `json:"rows"`
}

// Row is a name or client, and how many queries it had at least.
type Row struct {
	Name    string  `json:"name,omitempty"`
	Client  string  `json:"client,omitempty"`
	Who     string  `json:"who,omitempty"` // the client's pod, or a service that it is an endpoint of
	Count   uint64  `json:"count"`
	Rate    float64 `json:"rate"`              // in a second
	Reason  string  `json:"reason,omitempty"`  // why the name does not exist
	Example string  `json:"example,omitempty"` // a name that the client's search list has made
}

var tables = map[string]traffic.Table{
	"names": traffic.Names, "nxdomains": traffic.Nxdomains, "clients": traffic.Clients, "searches": traffic.Searches,
}

func (p *page) top(r *http.Request) (any, error) {
	q := newQuery(r, "of", "over", "n")
	of := q.choice("of", "names", "nxdomains", "clients", "searches")
	hour := q.choice("over", "hour", "now") == "hour"
	n := q.number("n", 10, 1, mostRows)
	if q.err != nil {
		return nil, q.err
	}
	now := time.Now()
	list, since := p.Traffic.Most(tables[of], n, hour, now)
	m := Most{Of: of, Since: since, Sample: p.Traffic.Report(now).Every, Rows: []Row{}}
	for _, c := range list {
		row := Row{Count: c.Least()}
		if elapsed := now.Sub(since).Seconds(); elapsed > 0 {
			row.Rate = float64(row.Count) / elapsed
		}
		switch tables[of] {
		case traffic.Names:
			row.Name = nameOf([]byte(c.Key))
		case traffic.Nxdomains:
			row.Name, row.Reason = nameOf([]byte(c.Key)), c.Note
		case traffic.Clients:
			row.Client, row.Who = p.client(c.Key)
		case traffic.Searches:
			row.Client, row.Who = p.client(c.Key)
			row.Example = nameOf([]byte(c.Note))
		}
		m.Rows = append(m.Rows, row)
	}
	return m, nil
}

// client is the address of the key of a client, and whose it is.
func (p *page) client(key string) (address, who string) {
	a, _ := netip.AddrFromSlice([]byte(key))
	a = a.Unmap()
	return a.String(), p.Who(a)
}

// Failure is a question without an answer.
type Failure struct {
	Time   time.Time `json:"time"` // of the last one
	Name   string    `json:"name"`
	Type   string    `json:"type"`
	Rcode  string    `json:"rcode"`
	Reason string    `json:"reason"`
	Client string    `json:"client"`
	Who    string    `json:"who,omitempty"`
	Count  uint64    `json:"count"`
}

func (p *page) failures(r *http.Request) (any, error) {
	if q := newQuery(r); q.err != nil {
		return nil, q.err
	}
	all := []Failure{}
	for _, f := range p.Traffic.Failures() {
		all = append(all, Failure{Time: f.Last, Name: nameOf([]byte(f.Name)), Type: typeOf(f.Type), Rcode: rcodeOf(f.Rcode),
			Reason: f.Reason, Client: f.Client.String(), Who: p.Who(f.Client), Count: f.N})
	}
	return map[string]any{"failures": all}, nil
}
