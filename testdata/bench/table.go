//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
)

// column is one of the table: its head, and what stands in it for a line.
type column struct {
	head string
	of   func(result, float64) string
}

// columns are those of the table. limit is the echo's CPU time in the row, as often as the row has echoes, or NaN.
func columns() []column {
	return []column{
		{"row", func(r result, _ float64) string { return r.Row }},
		{"server", func(r result, _ float64) string { return r.Server }},
		{"CPU us", func(r result, _ float64) string { return figure(r.median(cpu)) }},
		{"least-most", func(r result, _ float64) string { return spread(r.values(cpu)) }},
		{"x echo", func(r result, limit float64) string { return ratio(r.median(cpu), limit) }},
		{"answers/s", func(r result, _ float64) string { return whole(r.median(func(s sample) float64 { return s.Rate })) }},
		{"switches", func(r result, _ float64) string {
			return figure(r.median(func(s sample) float64 { return s.Switches }))
		}},
		{"lost", func(r result, _ float64) string { return fmt.Sprint(r.lost()) }},
		{"asked/s", func(r result, _ float64) string {
			return whole(r.median(func(s sample) float64 { return s.LatencyRate }))
		}},
		{"p50 us", func(r result, _ float64) string { return whole(r.median(func(s sample) float64 { return s.P50 })) }},
		{"p99 us", func(r result, _ float64) string { return whole(r.median(func(s sample) float64 { return s.P99 })) }},
		{"p99.9 us", func(r result, _ float64) string { return whole(r.median(func(s sample) float64 { return s.P999 })) }},
		{"late us", func(r result, _ float64) string { return whole(r.median(func(s sample) float64 { return s.Late })) }},
		{"MB", func(r result, _ float64) string { return whole(r.median(func(s sample) float64 { return s.RSS })) }},
		{"peak MB", func(r result, _ float64) string { return whole(r.median(func(s sample) float64 { return s.Peak })) }},
		{"ready s", func(r result, _ float64) string { return figure(r.median(func(s sample) float64 { return s.Ready })) }},
		{"system calls", func(r result, _ float64) string {
			return figure(r.median(func(s sample) float64 { return s.SystemCalls }))
		}},
	}
}

func cpu(s sample) float64 { return s.CPU }

func (r result) values(of func(sample) float64) (list []float64) {
	for _, s := range r.Samples {
		list = append(list, of(s))
	}
	return list
}

func (r result) median(of func(sample) float64) float64 { return median(r.values(of)) }

// lost is the sum over all rounds: a single one is to be seen.
func (r result) lost() (n int) {
	for _, s := range r.Samples {
		n += s.Lost
	}
	return n
}

// table is all results as a Markdown table. Columns without a figure are left out.
func table(results []result) string {
	rows := make([][]string, len(results)+1)
	for _, c := range columns() {
		cells, empty := []string{c.head}, true
		for _, r := range results {
			cell := c.of(r, limitOf(results, r.Row))
			cells, empty = append(cells, cell), empty && cell == ""
		}
		if empty {
			continue
		}
		for i, cell := range cells {
			rows[i] = append(rows[i], cell)
		}
	}
	var text strings.Builder
	for i, cells := range rows {
		fmt.Fprintf(&text, "| %s |\n", strings.Join(cells, " | "))
		if i == 0 {
			text.WriteString(strings.Repeat("|---", len(cells)) + "|\n")
		}
	}
	return text.String()
}

// limitOf is the CPU time of a row's echoes, or NaN if it has none.
func limitOf(results []result, row string) float64 {
	for _, r := range results {
		if r.Row == row && r.Limit > 0 {
			return r.median(cpu) * float64(r.Limit)
		}
	}
	return math.NaN()
}

// figure is a number with as many digits as mean something, or nothing for 0.
func figure(v float64) string {
	switch {
	case v == 0 || math.IsNaN(v):
		return ""
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.1f", v)
}

func whole(v float64) string {
	if v == 0 || math.IsNaN(v) {
		return ""
	}
	return fmt.Sprintf("%.0f", v)
}

func ratio(v, limit float64) string {
	if math.IsNaN(limit) {
		return ""
	}
	return figure(v / limit)
}

// spread is the least and the largest of some values.
func spread(values []float64) string {
	least, most := math.Inf(1), 0.0
	for _, v := range values {
		least, most = min(least, v), max(most, v)
	}
	if most == 0 {
		return ""
	}
	return figure(least) + "-" + figure(most)
}

// writeJSON writes what was measured in each round.
func writeJSON(file, about string, results []result) error {
	data, err := json.MarshalIndent(struct {
		About   string
		Results []result
	}{strings.TrimSpace(about), results}, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o644)
}
