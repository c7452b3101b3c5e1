//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// First arguments of processes that are this program once more: the upstream over TCP and TLS, and a busy neighbour.
const upstreamCommand, busyCommand = "upstream", "busy"

func main() {
	// A child ends with the thread that started it, which is this one (Pdeathsig).
	runtime.LockOSThread()
	if len(os.Args) > 1 && os.Args[1] == upstreamCommand {
		exit(serveUpstream(os.Args[2:]))
	}
	for len(os.Args) > 1 && os.Args[1] == busyCommand {
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	exit(err)
}

func exit(err error) {
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// options is what the flags say.
type options struct {
	rows    *regexp.Regexp
	peers   *regexp.Regexp
	rounds  int
	seconds time.Duration
	against string
	size    int
	json    string
	busy    int
	trace   bool
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := readOptions(args)
	if err != nil {
		return err
	}
	chosen := o.choose(allRows(o.size))
	if len(chosen) == 0 {
		return errors.New("no such row: -h names them")
	}
	b, err := prepare(ctx, o, chosen)
	if err != nil {
		return err
	}
	defer b.close()
	results, err := b.measureAll(chosen)
	if len(results) > 0 { // an hour's work is not thrown away for its last row
		fmt.Fprint(out, b.about(), table(results))
		if o.json != "" {
			err = errors.Join(err, writeJSON(o.json, b.about(), results))
		}
	}
	return err
}

// measureAll measures the rows, until one cannot be.
func (b *bench) measureAll(rows []row) (results []result, err error) {
	for i, r := range rows {
		b.say("%s, row %d of %d", r.name, i+1, len(rows))
		of, err := b.measure(r)
		results = append(results, of...)
		if err != nil {
			return results, fmt.Errorf("%s: %w", r.name, err)
		}
		b.closeUnused(rows[i+1:])
	}
	return results, nil
}

// readOptions reads the flags.
func readOptions(args []string) (o options, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.Usage = func() { usage(flags) }
	rows := flags.String("rows", "", "rows to measure: a regular expression, '.' for all (default: "+strings.Join(shortRows, " ")+")")
	peers := flags.String("peers", ".", "servers to measure: a regular expression of their names")
	flags.IntVar(&o.rounds, "rounds", 5, "how often each server is measured, in turn with the others")
	seconds := flags.Float64("seconds", 2, "how long a server is asked in a round, by dnsperf and again for the latency")
	flags.StringVar(&o.against, "against", "", "commit that is built and measured beside this tree")
	flags.IntVar(&o.size, "size", 10_000, "services of the cluster; 10000 have 155,000 endpoints; with 0 there is no API server, and rows about forwarding alone")
	flags.StringVar(&o.json, "json", "", "file for what was measured in each round")
	flags.IntVar(&o.busy, "busy", 0, "neighbours that keep a CPU busy each: what a query costs then differs from what it costs on a machine that sleeps between two")
	flags.BoolVar(&o.trace, "strace", false, "count system calls instead: one round, whose times mean nothing")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 || o.rounds < 1 || *seconds <= 0 || o.size < 0 || o.busy < 0 {
		return o, errors.New("wrong arguments: -h helps")
	}
	o.seconds = time.Duration(*seconds * float64(time.Second))
	if o.trace {
		o.rounds = 1
	}
	if o.rows, err = regexp.Compile(cmp.Or(*rows, "^("+strings.Join(shortRows, "|")+")$")); err != nil {
		return o, fmt.Errorf("-rows: %w", err)
	}
	if o.peers, err = regexp.Compile(*peers); err != nil {
		return o, fmt.Errorf("-peers: %w", err)
	}
	return o, nil
}

// choose is the rows that were asked for.
func (o options) choose(all []row) (chosen []row) {
	for _, r := range all {
		if o.rows.MatchString(r.name) && (o.size > 0 || !r.needsCluster()) {
			chosen = append(chosen, r)
		}
	}
	return chosen
}

func usage(flags *flag.FlagSet) {
	out := flags.Output()
	fmt.Fprint(out, `usage: go run ./testdata/bench [flags]

CPU time for each query, latency and memory of clusterdns beside other servers. The table is on standard output, progress on
standard error. On a machine that does nothing else:

  go run ./testdata/bench -against HEAD~50                    the short list of rows, 10 minutes
  go run ./testdata/bench -rows . -json figures.json          everything, 70 minutes
  go run ./testdata/bench -rows forward -size 0 -rounds 1     quickly, without an API server

Flags:
`)
	flags.PrintDefaults()
	fmt.Fprint(out, "\nRows:\n")
	for _, r := range allRows(10_000) {
		fmt.Fprintf(out, "  %-22s %s\n", r.name, r.about)
	}
	fmt.Fprint(out, "\nServers:\n")
	for _, p := range allPeers() {
		fmt.Fprintf(out, "  %-22s %s\n", p.name, p.about)
	}
}
