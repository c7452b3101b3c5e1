package page

import (
	"net/http"
	"time"

	"github.com/clusterdns/clusterdns/observe/traffic"
)

// shortly is how many seconds "now" is.
const shortly = 10

// Summary is the answer of /api/summary.
type Summary struct {
	State
	Time   time.Time `json:"time"`
	Since  time.Time `json:"since"`  // when counting began
	Sample uint32    `json:"sample"` // names, clients and failures are counted for one query in so many
	Now    Rates     `json:"now"`    // of the last seconds
	Recent Series    `json:"recent"` // by seconds
	Hour   Series    `json:"hour"`   // by minutes
	Total  Rates     `json:"total"`  // of the last hour
}

// Rates is what queries of some time became.
type Rates struct {
	Seconds float64            `json:"seconds"`
	Queries uint64             `json:"queries"`
	PerSec  float64            `json:"perSecond"`
	Rcodes  map[string]uint64  `json:"rcodes"`
	Sources map[string]uint64  `json:"sources"` // the directives that answered; "" for refusals of our own
	Latency map[string]float64 `json:"latency"` // seconds, by "p50", "p95", "p99"
}

// Series is how that went over time. The last element is of the time that has just begun.
type Series struct {
	From     time.Time `json:"from"`
	Step     int       `json:"step"` // seconds
	Queries  []uint64  `json:"queries"`
	NXDomain []uint64  `json:"nxdomain"`
	Failed   []uint64  `json:"failed"` // neither NOERROR nor NXDOMAIN
	P50      []float64 `json:"p50"`
	P99      []float64 `json:"p99"`
}

// rcodes are the names of what traffic tells apart.
var rcodes = [traffic.Rcodes]string{"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "other"}

func (p *page) summary(r *http.Request) (any, error) {
	if q := newQuery(r); q.err != nil {
		return nil, q.err
	}
	now := time.Now()
	report := p.Traffic.Report(now)
	s := Summary{State: p.State(), Time: now, Since: report.Since, Sample: report.Every}
	s.Explain = p.Options.Explain != nil
	last := report.Seconds
	last.Counts = last.Counts[:max(len(last.Counts)-1, 0)] // this second has just begun
	last.From = last.From.Add(time.Duration(max(len(last.Counts)-shortly, 0)) * last.Step)
	last.Counts = last.Counts[max(len(last.Counts)-shortly, 0):]
	s.Now = p.rates(last, report.Since, last.From.Add(time.Duration(len(last.Counts))*last.Step))
	s.Total = p.rates(report.Minutes, report.Since, now)
	s.Recent, s.Hour = seriesOf(report.Seconds), seriesOf(report.Minutes)
	return s, nil
}

// rates adds up a series that began to count at since, and ends at end.
func (p *page) rates(all traffic.Series, since, end time.Time) Rates {
	if since.Before(all.From) {
		since = all.From
	}
	seconds := max(end.Sub(since).Seconds(), 0)
	r := Rates{Seconds: seconds, Rcodes: map[string]uint64{}, Sources: map[string]uint64{}}
	var sum traffic.Counts
	for i := range all.Counts {
		sum.Add(&all.Counts[i])
	}
	r.Queries = sum.Queries()
	if seconds > 0 {
		r.PerSec = float64(r.Queries) / seconds
	}
	for i, n := range sum.Rcodes {
		if n > 0 {
			r.Rcodes[rcodes[i]] = n
		}
	}
	for i, n := range sum.Sources {
		if n > 0 {
			r.Sources[p.Source(uint8(i))] = n
		}
	}
	r.Latency = map[string]float64{"p50": secondsOf(sum.Quantile(0.5)), "p95": secondsOf(sum.Quantile(0.95)),
		"p99": secondsOf(sum.Quantile(0.99))}
	return r
}

func seriesOf(all traffic.Series) Series {
	s := Series{From: all.From, Step: int(all.Step.Seconds())}
	for i := range all.Counts {
		c := &all.Counts[i]
		n := c.Queries()
		s.Queries = append(s.Queries, n)
		s.NXDomain = append(s.NXDomain, c.NXDomains())
		s.Failed = append(s.Failed, c.Failed())
		s.P50 = append(s.P50, secondsOf(c.Quantile(0.5)))
		s.P99 = append(s.P99, secondsOf(c.Quantile(0.99)))
	}
	return s
}
