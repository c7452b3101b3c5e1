package terminal

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/server/page"
)

// Top is the command top.
type Top struct {
	Server  string                     // DefaultServer for ""
	Hour    bool                       // the last hour instead of the last two minutes
	Every   time.Duration              // between two pictures; 0 for one alone
	Size    func() (columns, rows int) // of the terminal
	Colours bool
}

// most is how many rows of a table are asked for.
const most = 50

// state is what a picture shows.
type state struct {
	summary  page.Summary
	tables   [len(headings)]page.Most
	failures []page.Failure
}

// headings are the tables of a picture, by what /api/top calls them.
var headings = [...]struct{ of, title string }{
	{"names", "NAMES"}, {"nxdomains", "NAMES THAT DO NOT EXIST"}, {"clients", "CLIENTS"}, {"searches", "MADE BY SEARCH LISTS ALONE"},
}

// Control sequences of terminals (ECMA-48): another screen without a cursor, and the way back; home; to the end of the
// line; to the end of the screen.
const (
	enter     = "\x1b[?1049h\x1b[?25l"
	leave     = "\x1b[?25h\x1b[?1049l"
	home      = "\x1b[H"
	clearLine = "\x1b[K"
	clearRest = "\x1b[J"
)

// Run shows pictures until ctx ends, or one.
func (t *Top) Run(ctx context.Context, out io.Writer) error {
	c, err := newClient(t.Server)
	if err != nil {
		return err
	}
	s, err := t.ask(ctx, c)
	if err != nil {
		return ended(ctx, err)
	}
	if t.Every == 0 {
		columns, _ := t.Size()
		_, err := io.WriteString(out, strings.Join(t.picture(s, nil, columns, 0), "\n")+"\n")
		return err
	}
	io.WriteString(out, enter)
	defer io.WriteString(out, leave)
	ticks := time.NewTicker(t.Every)
	defer ticks.Stop()
	for {
		columns, rows := t.Size()
		lines := t.picture(s, err, columns, rows)
		if _, err := io.WriteString(out, home+strings.Join(lines, clearLine+"\n")+clearLine+clearRest); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
		var next *state
		if next, err = t.ask(ctx, c); err == nil {
			s = next
		}
	}
}

func (t *Top) ask(ctx context.Context, c *client) (*state, error) {
	s := &state{}
	if err := c.get(ctx, "/api/summary", nil, &s.summary); err != nil {
		return nil, err
	}
	over := "now"
	if t.Hour {
		over = "hour"
	}
	for i, h := range headings {
		query := url.Values{"of": {h.of}, "over": {over}, "n": {strconv.Itoa(most)}}
		if err := c.get(ctx, "/api/top", query, &s.tables[i]); err != nil {
			return nil, err
		}
	}
	var failures map[string][]page.Failure
	err := c.get(ctx, "/api/failures", nil, &failures)
	s.failures = failures["failures"]
	return s, err
}

// wide is how many columns a terminal has for two tables beside each other.
const wide = 120

// picture is the lines of a picture; of as many as are needed for 0 rows. err is why s is not of now.
func (t *Top) picture(s *state, err error, columns, rows int) []string {
	lines := t.head(s, err, columns)
	if rows == 0 {
		rows = len(lines) + 6*11
	}
	across, width := 1, columns
	if columns >= wide {
		across, width = 2, (columns-len(gap))/2
	}
	needs := []int{}
	for i := 0; i < len(headings); i += across {
		need := 0
		for k := i; k < i+across; k++ {
			need = max(need, len(s.tables[k].Rows)+2)
		}
		needs = append(needs, min(need, 10+2))
	}
	parts := share(rows-len(lines), append(needs, min(len(s.failures), 10)+1))
	for i, part := range parts[:len(parts)-1] {
		block := t.table(across*i, s, width, part)
		if across == 2 {
			block = beside(block, t.table(2*i+1, s, width, part), width)
		}
		lines = append(lines, block...)
	}
	lines = append(lines, t.failed(s, columns, parts[len(parts)-1])...)
	return lines[:min(len(lines), rows)]
}

// share divides lines among parts: each gets what it needs, or an equal share of what there is, and what one does not
// need others get.
func share(lines int, needs []int) []int {
	got := make([]int, len(needs))
	for given := true; given && lines > 0; {
		given = false
		for i, need := range needs {
			if got[i] < need && lines > 0 {
				got[i]++
				lines--
				given = true
			}
		}
	}
	return got
}

func (t *Top) head(s *state, err error, columns int) []string {
	sum, now := &s.summary, &s.summary.Now
	seen := now
	if seen.Queries == 0 {
		seen = &sum.Total
	}
	status := "ready"
	if len(sum.NotReady) > 0 {
		status = "not ready: waits for " + strings.Join(sum.NotReady, ", ")
	}
	if !sum.Reload.Current {
		status = "the Corefile on disk is not served"
	}
	failed := seen.Queries - seen.Rcodes["NOERROR"] - seen.Rcodes["NXDOMAIN"]
	over := "last two minutes"
	if t.Hour {
		over = "last hour"
	}
	first := fmt.Sprintf("clusterdns %s  %s  up %v", observe.Clean(sum.Version), observe.Clean(status), sum.Time.Sub(sum.Started).Round(time.Second))
	second := fmt.Sprintf("%s queries/s  median %s  99 %% %s  NXDOMAIN %s  failed %s", rate(now.PerSec),
		duration(seen.Latency["p50"]), duration(seen.Latency["p99"]), percent(seen.Rcodes["NXDOMAIN"], seen.Queries),
		percent(failed, seen.Queries))
	third := "tables: " + over
	if sum.Sample > 1 {
		third += fmt.Sprintf(", one query in %d is looked at", sum.Sample)
	}
	if err != nil {
		third = observe.Clean(err.Error())
	}
	return []string{paint(t.Colours, bold, fit(first, columns)), fit(second, columns), paint(t.Colours, dim, fit(third, columns)), ""}
}

// table is a title, rows and an empty line: so many lines at most.
func (t *Top) table(i int, s *state, columns, most int) []string {
	m := &s.tables[i]
	lines := []string{paint(t.Colours, bold, fit(fmt.Sprintf("%8s %9s  %s", "/S", "QUERIES", headings[i].title), columns))}
	for _, r := range m.Rows[:max(min(len(m.Rows), most-2), 0)] {
		what := observe.Clean(r.Name + r.Client)
		for _, more := range []string{r.Who, r.Reason, r.Example} {
			if more != "" {
				what += "  " + observe.Clean(more)
			}
		}
		lines = append(lines, fit(fmt.Sprintf("%8s %9d  %s", rate(r.Rate), r.Count, what), columns))
	}
	return append(lines, "")
}

func (t *Top) failed(s *state, columns, most int) []string {
	lines := []string{paint(t.Colours, bold, fit(fmt.Sprintf("%8s %9s  %s", "LAST", "TIMES", "FAILURES"), columns))}
	for _, f := range s.failures[:max(min(len(s.failures), most-1), 0)] {
		line := fit(fmt.Sprintf("%8s %9d  %s %s %s  %s", f.Time.Local().Format("15:04:05"), f.Count, observe.Clean(f.Rcode),
			observe.Clean(f.Name), observe.Clean(f.Type), observe.Clean(f.Reason)), columns)
		if f.Rcode != "NXDOMAIN" {
			line = paint(t.Colours, red, line)
		}
		lines = append(lines, line)
	}
	return lines
}

// gap is between two tables.
const gap = "   "

// beside puts b to the right of a, whose lines have so many columns but for the empty ones.
func beside(a, b []string, columns int) (lines []string) {
	for i := range max(len(a), len(b)) {
		left, right := strings.Repeat(" ", columns), ""
		if i < len(a) && a[i] != "" {
			left = a[i]
		}
		if i < len(b) {
			right = b[i]
		}
		lines = append(lines, strings.TrimRight(left+gap+right, " "))
	}
	return lines
}
