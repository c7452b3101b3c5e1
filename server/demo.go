package server

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/clusterdns/clusterdns/server/config"
	"github.com/clusterdns/clusterdns/testdata/cluster"
)

// demoPort is where the demo listens: above 1023, so that it needs no privilege, and not a port of mDNS or local
// resolvers.
const demoPort = "1053"

const demoFlags = "  -p PORT            port to serve on (default 1053); the page is at the next one\n" +
	"  -f PATH            serve manifests: a folder, whose edits are followed, a file, or - for standard input\n" +
	"  -kubeconfig FILE   serve a live cluster, read with your permissions; a context may follow\n" +
	"  -context NAME      of the kubeconfig (default its current one)\n"

// proposal is a question that the demo proposes, with what it shows.
type proposal struct{ question, shows string }

// worthTrying are the questions to the sample cluster.
var worthTrying = []proposal{
	{"datarc-test-pod.datarc.svc.cluster.local", "the ClusterIP service of docs/walkthrough.md"},
	{"datarc-test.datarc.svc.cluster.local", "a ClusterIP service"},
	{"_http._tcp.datarc-test.datarc.svc.cluster.local SRV", "its named port"},
	{"datarc-test.datarc.svc.cluster.local AAAA", "no IPv6: NODATA, and the reason"},
	{"-x 10.96.0.10", "whose address is this?"},
	{"datarc-db-0.datarc-db.datarc.svc.cluster.local", "one pod of a headless StatefulSet"},
	{"datarc-db.datarc.svc.cluster.local", "all its pods"},
	{"example.datarc.svc.cluster.local", "an ExternalName, chased"},
	{"mysql-external.datarc.svc.cluster.local", "a service with Endpoints written by hand"},
	{"nothing-ready.datarc.svc.cluster.local", "why is there no answer?"},
	{"+tcp dual-stack.datarc.svc.cluster.local AAAA", "over TCP, IPv6"},
	{"no-such-service.datarc.svc.cluster.local", "NXDOMAIN, with the reason"},
}

// demonstrated is what the flags of demo say, and what is served.
type demonstrated struct {
	paths               several
	kubeconfig, context string
	port                uint16
	what, hint          string // for people
	sample              bool
}

// demo serves a sample cluster, manifests or a live cluster until it is interrupted.
func (c *console) demo(arguments []string) error {
	o, err := readDemonstrated(arguments)
	if err != nil {
		return err
	}
	load, remove, err := c.demonstration(o)
	if err != nil {
		return err
	}
	defer remove()
	fmt.Fprintf(c.out, "clusterdns demo: reading %s ...\n", o.what)
	loaded, err := load()
	if err != nil {
		return err
	}
	welcome := &welcomeFirst{to: c.out, colour: c.colours()}
	defer welcome.release()
	late := time.AfterFunc(welcomePatience, welcome.release)
	defer late.Stop()
	serving := &console{c.in, welcome, c.err}
	proposing := (*task)(nil)
	err = serving.run(loaded, load, func(p *Program) {
		proposing = start(context.Background(), func(ctx context.Context) { c.propose(ctx, p, o, welcome) })
	})
	if proposing != nil {
		proposing.stop()
	}
	return o.inUse(err)
}

func readDemonstrated(arguments []string) (*demonstrated, error) {
	o := &demonstrated{}
	flags := flag.NewFlagSet("clusterdns demo", flag.ContinueOnError)
	written := flags.String("p", demoPort, "")
	flags.Var(&o.paths, "f", "")
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "")
	flags.StringVar(&o.context, "context", "", "")
	words, err := parseWords(flags, arguments)
	if err != nil {
		return nil, err
	}
	if o.kubeconfig != "" && o.context == "" && len(words) == 1 { // -kubeconfig FILE CONTEXT
		o.context, words = words[0], nil
	}
	if len(o.paths) > 0 {
		o.paths, words = append(o.paths, words...), nil
	}
	if len(words) > 0 {
		return nil, fmt.Errorf("unexpected argument %q; clusterdns demo -h lists the flags", words[0])
	}
	if o.kubeconfig != "" && len(o.paths) > 0 {
		return nil, errors.New("-kubeconfig and -f: give one of them")
	}
	port, err := strconv.ParseUint(*written, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("-p: got %q, wants a port from 0 to 65535", *written)
	}
	o.port = uint16(port)
	return o, nil
}

// demonstration is what reads the configuration of a demo.
func (c *console) demonstration(o *demonstrated) (load func() (*config.Config, error), remove func(), err error) {
	parse, remove := func() (*config.Config, error) { return nil, nil }, func() {}
	settings := config.Settings{Port: o.port}
	switch {
	case o.kubeconfig != "":
		file, err := filepath.Abs(o.kubeconfig)
		if err == nil {
			_, err = os.Stat(file)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("-kubeconfig: %s cannot be read: %w", o.kubeconfig, errors.Unwrap(err))
		}
		o.what = "the cluster in " + o.kubeconfig
		o.hint = "Its names are real. Its addresses are reachable only where those of pods are."
		source := "kubeconfig " + quoted(file)
		if o.context != "" {
			o.what += ", context " + o.context
			source += " " + quoted(o.context)
		}
		parse = demoCorefile(source, settings)
	case len(o.paths) > 0:
		folder, removeCopy, err := c.manifestsIn(o.paths)
		if err != nil {
			return nil, nil, err
		}
		remove = removeCopy
		if folder, err = filepath.Abs(folder); err != nil {
			return nil, nil, err
		}
		o.what = "the manifests of " + strings.Join(o.paths, ", ")
		o.hint = "Edit a file there and ask again."
		if info, err := os.Stat(o.paths[0]); len(o.paths) > 1 || err != nil || !info.IsDir() {
			o.hint = "They have been read once; of a folder, edits are followed."
		}
		parse = demoCorefile("manifests "+quoted(folder)+"\n        pods verified", settings)
	default:
		folder, removeCopy, err := sampleCluster()
		if err != nil {
			return nil, nil, err
		}
		remove, o.sample = removeCopy, true
		o.what = "a copy of the sample cluster in " + folder
		o.hint = "Edit a file there and ask again."
		settings.Conf = filepath.Join(folder, "Corefile")
		parse = func() (*config.Config, error) { return config.Load(settings, nil) }
	}
	return func() (*config.Config, error) {
		c, err := parse()
		if err == nil {
			c.Dashboard.Addresses = []string{dashboardBeside(o.port)}
		}
		return c, err
	}, remove, nil
}

// demoCorefile serves one cluster, and the rest of the world from this machine's own resolvers.
func demoCorefile(source string, settings config.Settings) func() (*config.Config, error) {
	text := `. {
    bind 127.0.0.1
    log . "{common} {>ede}"
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        ` + source + `
        ttl 5
        fallthrough in-addr.arpa ip6.arpa
    }
    forward . /etc/resolv.conf 127.0.0.1 {
        policy sequential
    }
    cache 30
    loadbalance
}
`
	return func() (*config.Config, error) { return config.Parse("demo", []byte(text), settings) }
}

// quoted is one word of a Corefile.
func quoted(word string) string { return `"` + strings.ReplaceAll(word, `"`, `\"`) + `"` }

// inUse adds to the error of an address that is taken which one it is, and how to take another.
func (o *demonstrated) inUse(err error) error {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	_, why, _ := strings.Cut(err.Error(), "listen on ") // before it is a line of a Corefile that nobody has written
	if address := dashboardBeside(o.port); strings.HasPrefix(why, address) {
		return fmt.Errorf("clusterdns demo: the page cannot listen on %s; -p PORT takes another port, and the next one for the page", why)
	}
	return fmt.Errorf("clusterdns demo: cannot listen on %s; -p PORT takes another port", why)
}

// dashboardBeside is the address of the page of a demo: the next port, where there is one.
func dashboardBeside(port uint16) string {
	if port > 0 {
		port++
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port)))
}

// sampleCluster is a folder with a copy of the sample cluster, which can be edited: what a checkout tracks, and its tests
// read, stays as it is.
func sampleCluster() (folder string, remove func(), err error) {
	if folder, err = os.MkdirTemp("", "clusterdns-demo-"); err != nil {
		return "", nil, err
	}
	remove = func() { os.RemoveAll(folder) }
	if err := os.CopyFS(folder, cluster.Files); err != nil {
		remove()
		return "", nil, err
	}
	return folder, remove, nil
}

// welcomePatience is how long the log waits for the welcome: a cluster that cannot be read is said in the log.
const welcomePatience = 2 * time.Second

// Colours of a terminal.
const (
	bold   = "\x1b[1m"
	dim    = "\x1b[2m"
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	plain  = "\x1b[0m"
)

// colours reports whether to write in colour: on a terminal, unless NO_COLOR says otherwise (no-color.org).
func (c *console) colours() bool {
	_, _, screen := c.screen()
	return screen && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// propose prints what is served and the questions worth trying.
func (c *console) propose(ctx context.Context, p *Program, o *demonstrated, first *welcomeFirst) {
	if err := p.Synced(ctx); err != nil {
		return
	}
	address := p.Addresses()[0]
	var b strings.Builder
	fmt.Fprintf(&b, "\nServing %s on %s, UDP and TCP. %s\n", o.what, first.paint(bold, address.String()), o.hint)
	if page := p.dashboardAddress(); page != nil {
		fmt.Fprintf(&b, "Its page is at %s. ", first.paint(bold, "http://"+page.String()+"/"))
	}
	b.WriteString("Worth trying:\n\n")
	list := worthTrying
	if !o.sample {
		list = p.proposals()
	}
	for _, t := range list {
		fmt.Fprintf(&b, "  dig @%s -p %d %-56s %s\n", address.Addr(), address.Port(), t.question, first.paint(dim, "# "+t.shows))
	}
	b.WriteString("\ndig warns that .local is reserved for Multicast DNS. That is harmless here: dig asks this server.\n" +
		"Queries, as they come, with the reason where there is no answer (interrupt to end):\n")
	first.print(b.String())
}

// mostProposed is how many services are proposed.
const mostProposed = 6

// proposals are questions to a cluster that nobody knows here.
func (p *Program) proposals() (list []proposal) {
	namespace := "default"
	clusters := p.served()
	for _, cluster := range clusters[:min(1, len(clusters))] {
		below := ".svc." + strings.TrimSuffix(cluster.Zone, ".")
		var names []string
		for s := range cluster.Index.Snapshot().EachService {
			name, space := s.Names()
			names = append(names, space+" "+name)
		}
		slices.Sort(names)
		for i, name := range names[:min(len(names), mostProposed)] {
			space, service, _ := strings.Cut(name, " ")
			if i == 0 {
				namespace = space
			}
			list = append(list, proposal{service + "." + space + below, "service " + space + "/" + service})
		}
		list = append(list, proposal{"no-such-service." + namespace + below, "NXDOMAIN, with the reason"})
	}
	return list
}

// welcomeFirst writes what it is given, but keeps it until the welcome is printed.
type welcomeFirst struct {
	mu     sync.Mutex
	to     io.Writer
	colour bool
	open   bool
	kept   bytes.Buffer
}

// Write implements io.Writer.
func (w *welcomeFirst) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.open {
		return w.kept.Write(p)
	}
	return len(p), w.write(p)
}

func (w *welcomeFirst) write(p []byte) error {
	if !w.colour {
		_, err := w.to.Write(p)
		return err
	}
	var b bytes.Buffer
	for line := range bytes.Lines(p) {
		text, end := bytes.CutSuffix(line, []byte("\n"))
		b.WriteString(w.paint(colourOf(string(text)), string(text)))
		if end {
			b.WriteByte('\n')
		}
	}
	_, err := w.to.Write(b.Bytes())
	return err
}

// colourOf is the colour of a line of the log; "" for none.
func colourOf(line string) string {
	switch {
	case strings.HasPrefix(line, "[INFO] + "):
		return green
	case strings.HasPrefix(line, "[INFO] - "), strings.HasPrefix(line, "[ERROR]"), strings.Contains(line, "\" SERVFAIL "):
		return red
	case strings.HasPrefix(line, "[WARNING]"), strings.Contains(line, "\" NXDOMAIN "), strings.Contains(line, "\" REFUSED "):
		return yellow
	}
	return ""
}

func (w *welcomeFirst) paint(colour, text string) string {
	if !w.colour || colour == "" {
		return text
	}
	return colour + text + plain
}

// print writes the welcome, and then what waited for it.
func (w *welcomeFirst) print(welcome string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	io.WriteString(w.to, welcome)
	w.openUp()
}

// release writes what waits, without a welcome.
func (w *welcomeFirst) release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.openUp()
}

func (w *welcomeFirst) openUp() {
	if !w.open {
		w.open = true
		_ = w.write(w.kept.Bytes()) // a log that cannot be written stops nobody
		w.kept = bytes.Buffer{}
	}
}
