//go:build linux

package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// load is what dnsperf reports.
type load struct {
	completed int
	lost      int     // not answered
	failed    int     // answered with SERVFAIL or REFUSED
	rate      float64 // answers a second
}

// outstanding is how many queries dnsperf has under way when it sends as many as are answered.
const outstanding = 200

// dnsperf asks a server for the length of a run.
func (b *bench) dnsperf(r row, s *server, file string, seconds float64) (load, error) {
	args := []string{"-s", "127.0.0.1", "-p", s.port, "-d", file, "-T", "1", "-c", fmt.Sprint(r.sockets), "-l", fmt.Sprint(seconds), "-t", "2",
		"-q", fmt.Sprint(max(outstanding, r.sockets))}
	if r.rate > 0 {
		args = append(args, "-Q", fmt.Sprint(r.rate))
	}
	if r.tcp {
		args = append(args, "-m", "tcp")
	}
	if r.edns {
		args = append(args, "-e")
	}
	text, err := b.output("", b.paths["dnsperf"], args...)
	if err != nil {
		return load{}, err
	}
	return parseDnsperf(text)
}

var rcodes = regexp.MustCompile(`(SERVFAIL|REFUSED) (\d+)`)

// parseDnsperf reads the statistics at the end of what dnsperf prints.
func parseDnsperf(text string) (l load, err error) {
	found := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(line, ":"); ok {
			if fields := strings.Fields(value); len(fields) > 0 {
				found[strings.TrimSpace(name)] = fields[0]
			}
		}
		if strings.Contains(line, "Response codes:") {
			for _, m := range rcodes.FindAllStringSubmatch(line, -1) {
				n, _ := strconv.Atoi(m[2])
				l.failed += n
			}
		}
	}
	var errs [3]error
	l.completed, errs[0] = strconv.Atoi(found["Queries completed"])
	l.lost, errs[1] = strconv.Atoi(found["Queries lost"])
	l.rate, errs[2] = strconv.ParseFloat(found["Queries per second"], 64)
	for _, err := range errs {
		if err != nil {
			return load{}, fmt.Errorf("dnsperf printed something else than its statistics: %w\n%s", err, text)
		}
	}
	return l, nil
}
