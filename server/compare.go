package server

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/server/compare"
	"github.com/clusterdns/clusterdns/server/logs"
	"github.com/clusterdns/clusterdns/watch"
)

const compareFlags = "  -a ADDRESS          the server in place, such as 10.96.0.10 or 10.96.0.10:53\n" +
	"  -b ADDRESS          clusterdns\n" +
	"  -from-log FILE      ask what a query log of CoreDNS or clusterdns has; - for standard input\n" +
	"  -from-cluster       ask for the names of the cluster of a kubeconfig\n" +
	"  -kubeconfig FILE    of -from-cluster (default $KUBECONFIG or ~/.kube/config)\n" +
	"  -context NAME       of the kubeconfig (default its current one)\n" +
	"  -zone ZONE          of -from-cluster: cluster domain (default cluster.local)\n" +
	"  -tcp                ask over TCP alone, as through kubectl port-forward\n" +
	"  -rate NUMBER        questions to each in a second at most (default 200)\n" +
	"  -parallel NUMBER    questions at a time (default 16)\n" +
	"  -timeout TIME       of a question (default 2s)\n" +
	"  -examples NUMBER    of each kind of difference (default 5)\n" +
	"  -once               do not ask again for what differs\n" +
	"  -o json             print one JSON object\n" +
	"Without -from-log and -from-cluster, lines of NAME [TYPE] are read from standard input; the output of records is such.\n" +
	"The exit status is 0 if all answers are the same or differ as they are meant to, 1 if some differ, 2 if that cannot be told.\n"

// exit ends a command with a status, after its error if there is one.
type exit struct {
	status int
	error
}

func (e *exit) Unwrap() error { return e.error }

// The statuses of compare.
const (
	statusDifferent = 1
	statusTrouble   = 2
)

// compared is what the flags of compare say.
type compared struct {
	compare.Options
	log        string
	cluster    bool
	kubeconfig string
	context    string
	zone       string
	json       bool
}

// compare asks two servers the same and says where they differ.
func (c *console) compare(arguments []string) error {
	err := c.compareServers(arguments)
	if err == nil || errors.Is(err, flag.ErrHelp) || errors.As(err, new(*exit)) {
		return err
	}
	return &exit{statusTrouble, err}
}

func (c *console) compareServers(arguments []string) error {
	o, err := readCompared(arguments)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var questions compare.Questions
	if err := c.questions(ctx, o, &questions); err != nil {
		return err
	}
	switch {
	case len(questions.List) == 0:
		return fmt.Errorf("clusterdns compare: no question was read (%d lines have none)", questions.Passed)
	case questions.Passed > 0:
		fmt.Fprintf(c.err, "%d lines have no question and were left out\n", questions.Passed)
	}
	if len(questions.List) < questions.Read {
		fmt.Fprintf(c.err, "%d questions, %d different ones\n", questions.Read, len(questions.List))
	}
	if isTerminal(c.err) {
		o.Progress = c.progress
	}
	o.Again = func(n int, in time.Duration) {
		fmt.Fprintf(c.err, "%d differ or were not answered; they are asked again in %v, when caches have forgotten them\n", n, in)
	}
	report := compare.Run(ctx, o.Options, questions.List)
	if o.json {
		if err := report.PrintJSON(c.out, o.Options); err != nil {
			return err
		}
	} else {
		report.Print(c.out, o.Options)
	}
	switch {
	case report.Different > 0:
		return &exit{statusDifferent, nil}
	case report.Unanswered != [2]int{} || report.Questions < len(questions.List):
		return &exit{statusTrouble, nil}
	}
	return nil
}

func readCompared(arguments []string) (*compared, error) {
	o := &compared{}
	flags := flag.NewFlagSet("clusterdns compare", flag.ContinueOnError)
	a, b, output := flags.String("a", "", ""), flags.String("b", "", ""), flags.String("o", "", "")
	flags.StringVar(&o.log, "from-log", "", "")
	flags.BoolVar(&o.cluster, "from-cluster", false, "")
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "")
	flags.StringVar(&o.context, "context", "", "")
	flags.StringVar(&o.zone, "zone", "cluster.local", "")
	flags.BoolVar(&o.TCP, "tcp", false, "")
	flags.IntVar(&o.Rate, "rate", 200, "")
	flags.IntVar(&o.Parallel, "parallel", 16, "")
	flags.DurationVar(&o.Timeout, "timeout", 2*time.Second, "")
	flags.IntVar(&o.Examples, "examples", 5, "")
	flags.BoolVar(&o.Once, "once", false, "")
	if err := parseFlags(flags, arguments); err != nil {
		return nil, err
	}
	for _, s := range []struct {
		flag, text string
		to         *netip.AddrPort
	}{{"-a", *a, &o.A}, {"-b", *b, &o.B}} {
		address, err := serverAddress(s.text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.flag, err)
		}
		*s.to = address
	}
	o.json = *output == "json"
	for wrong, is := range map[string]bool{
		"-o: wants json": *output != "" && *output != "json",
		"-from-log and -from-cluster: give one of them":    o.log != "" && o.cluster,
		"-kubeconfig and -context: are for -from-cluster":  (o.kubeconfig != "" || o.context != "") && !o.cluster,
		"-rate: wants a number from 1 to 100000":           o.Rate < 1 || o.Rate > 100_000,
		"-parallel: wants a number from 1 to 1000":         o.Parallel < 1 || o.Parallel > 1000,
		"-timeout: wants a duration such as 2s":            o.Timeout <= 0,
		"-examples: wants 0 or more":                       o.Examples < 0,
		fmt.Sprintf("-zone: %q is no domain name", o.zone): !isDomain(o.zone),
	} {
		if is {
			return nil, errors.New(wrong)
		}
	}
	return o, nil
}

func isDomain(name string) bool {
	_, is := dns.IsDomainName(name)
	return is
}

// serverAddress reads an address with or without a port.
func serverAddress(text string) (netip.AddrPort, error) {
	if text == "" {
		return netip.AddrPort{}, errors.New("needs the address of a server, such as 10.96.0.10")
	}
	host, port := text, "53"
	if h, p, err := net.SplitHostPort(text); err == nil {
		host, port = h, p
	}
	address, err := netip.ParseAddr(strings.Trim(host, "[]"))
	n, wrong := strconv.ParseUint(port, 10, 16)
	if err != nil || wrong != nil || n == 0 {
		return netip.AddrPort{}, fmt.Errorf("%q is no IP address, with or without a port", text)
	}
	return netip.AddrPortFrom(address, uint16(n)), nil
}

// questions reads what is to be asked.
func (c *console) questions(ctx context.Context, o *compared, q *compare.Questions) error {
	switch {
	case o.cluster:
		return clusterQuestions(ctx, o, slog.New(logs.NewHandler(c.err, slog.LevelWarn)), q)
	case o.log == "":
		return q.ReadNames(c.in)
	case o.log == "-":
		return q.ReadLog(c.in)
	}
	file, err := os.Open(o.log)
	if err != nil {
		return fmt.Errorf("-from-log: %w", err)
	}
	defer file.Close()
	return q.ReadLog(file)
}

// clusterQuestions asks for all records of a cluster, and for IPv6 addresses of names that have IPv4 ones alone.
func clusterQuestions(ctx context.Context, o *compared, log *slog.Logger, q *compare.Questions) error {
	options := watch.Options{Kubeconfig: cmp.Or(o.kubeconfig, standardKubeconfig()), Context: o.context}
	index, _, err := readCluster(ctx, options, log)
	if err != nil {
		return fmt.Errorf("clusterdns compare: %w", err)
	}
	zone := dns.CanonicalName(o.zone)
	var text bytes.Buffer
	fmt.Fprintf(&text, "%s SOA\n%s NS\ndns-version.%s TXT\n", zone, zone, zone)
	if err := index.Snapshot().WriteText(&text, zone, 1); err != nil {
		return err
	}
	if err := q.ReadNames(&text); err != nil {
		return err
	}
	for _, one := range q.List[:len(q.List):len(q.List)] {
		if one.Qtype == dns.TypeA {
			q.Add(one.Name, dns.TypeAAAA, dns.ClassINET)
		}
	}
	return nil
}

// standardKubeconfig is the file that kubectl takes; "" where there is none.
func standardKubeconfig() string {
	home, _ := os.UserHomeDir()
	for _, name := range append(filepath.SplitList(os.Getenv("KUBECONFIG")), filepath.Join(home, ".kube", "config")) {
		if _, err := os.Stat(name); err == nil {
			return name
		}
	}
	return ""
}

// isTerminal reports whether somebody looks at what is written.
func isTerminal(w io.Writer) bool {
	file, is := w.(*os.File)
	if !is {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// progress shows how far a command is, on one line of a terminal.
func (c *console) progress(done, all int) {
	if done%20 == 0 || done == all {
		fmt.Fprintf(c.err, "\r%d of %d questions", done, all)
	}
	if done == all {
		fmt.Fprintln(c.err)
	}
}
