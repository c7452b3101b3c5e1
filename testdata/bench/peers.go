//go:build linux

package main

import (
	"fmt"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// peer is a server that is measured.
type peer struct {
	name, about string
	program     program // of Debian
	parts       []part
	start       func(*bench, *server) error
}

// server is a peer that runs.
type server struct {
	peer    *peer
	world   *world
	port    string
	process *process
	ready   time.Duration // from its start until it was ready
}

func (s *server) address() string { return "127.0.0.1:" + s.port }

// commitPeer is clusterdns at the commit of -against.
const commitPeer = "clusterdns@"

var corefileParts = []part{forwarded, forwardedTCP, forwardedTLS, cached, cluster, clusterTCP, updates, memory}

// allPeers is every server, in the order of the table.
func allPeers() []peer {
	return []peer{
		{"echo", "the limit: a C program that answers everything with one address", program{},
			[]part{forwarded, forwardedTCP, forwardedTLS, cached, cluster, client, updates}, startEcho},
		{"clusterdns", "this tree", program{}, append(corefileParts, client), func(b *bench, s *server) error { return b.startCorefile(s, "clusterdns") }},
		{commitPeer, "clusterdns at the commit of -against", program{}, corefileParts, func(b *bench, s *server) error { return b.startCorefile(s, "against") }},
		{"clusterdns for the client", "this tree with nearest, affinity, visibility and toplevel, in rows about the client alone", program{},
			[]part{client}, func(b *bench, s *server) error { return b.startCorefile(s, "clusterdns", knowing...) }},
		{"CoreDNS", "of testdata/peers, with the same Corefile", program{}, corefileParts, func(b *bench, s *server) error { return b.startCorefile(s, "coredns") }},
		{"Knot", "Knot DNS with the zones, which it transfers from clusterdns", program{"knotd", "knot"}, []part{cluster, clusterTCP}, startKnot},
		{"Unbound", "a cache that forwards", program{"unbound", "unbound"}, []part{forwarded, forwardedTCP, forwardedTLS, cached}, startUnbound},
		{"dnsmasq", "a cache that forwards", program{"dnsmasq", "dnsmasq-base"}, []part{forwarded, cached}, startDnsmasq},
	}
}

// takesPart reports whether a peer is measured in a row.
func (b *bench) takesPart(p *peer, r row) bool {
	return slices.Contains(p.parts, r.part) && b.peers.MatchString(p.name) && (p.name != commitPeer || b.against != "")
}

// label is the name in the table.
func (b *bench) label(p *peer) string {
	if p.name == commitPeer {
		return p.name + b.commit
	}
	return p.name
}

// corefile is what clusterdns and CoreDNS run: the cluster's usual Corefile, and two zones whose upstream is asked in other
// ways. Answers stay in the cache for the whole run.
const corefile = `.:PORT {
	bind 127.0.0.1
	errors
	ready 127.0.0.1:READY
	prometheus 127.0.0.1:METRICS
CLUSTER	forward . 127.0.0.1:UDP
	cache 3600
	loadbalance
}
tcp.example.net:PORT {
	bind 127.0.0.1
	errors
	forward . 127.0.0.1:TCP {
		force_tcp
	}
	cache 3600
}
tls.example.net:PORT {
	bind 127.0.0.1
	errors
	forward . tls://127.0.0.1:TLS {
		tls AUTHORITY
		tls_servername ` + upstreamName + `
	}
	cache 3600
}
`

const corefileCluster = `	kubernetes cluster.local in-addr.arpa ip6.arpa {
		kubeconfig KUBECONFIG
		OPTIONS
		ttl 30
	}
	transfer cluster.local in-addr.arpa {
		to *
	}
`

// knowing is the options of kubernetes by which an answer depends on the client. Its pod is in a namespace that sees all.
var knowing = []string{"pods verified", "nearest zone", "affinity", "visibility labels !hidden", "toplevel count"}

// startCorefile starts a server that reads a Corefile, with options for kubernetes.
func (b *bench) startCorefile(s *server, path string, options ...string) error {
	var ready, metrics string
	if err := b.freePorts(&ready, &metrics); err != nil {
		return err
	}
	text := corefile
	if s.world.size > 0 {
		text = strings.ReplaceAll(text, "CLUSTER", corefileCluster)
	}
	if options == nil {
		options = []string{"pods insecure"}
	}
	file, err := b.writeConfig(s, text, "CLUSTER", "", "OPTIONS", strings.Join(options, "\n\t\t"), "READY", ready, "METRICS", metrics)
	if err != nil {
		return err
	}
	if s.process, err = b.start(s.peer.name, b.paths[path], "-conf", file); err != nil {
		return err
	}
	return b.await(s.process, 3*time.Minute, "being ready", func() bool {
		reply, err := http.Get("http://127.0.0.1:" + ready + "/ready")
		if err != nil {
			return false
		}
		reply.Body.Close()
		return reply.StatusCode == http.StatusOK
	})
}

// writeConfig fills words of a text with values and writes it to a file in a folder of the server's own.
func (b *bench) writeConfig(s *server, text string, wordsAndValues ...string) (file string, err error) {
	dir, err := os.MkdirTemp(s.world.dir, s.peer.name)
	if err != nil {
		return "", err
	}
	all := append(wordsAndValues, "PORT", s.port, "UDP", b.up.udp, "TCP", b.up.tcp, "TLS", b.up.tls, "AUTHORITY", b.up.certificate,
		"KUBECONFIG", s.world.kubeconfig(), "DIR", dir, "THREADS", fmt.Sprint(runtime.NumCPU()))
	file = filepath.Join(dir, "conf")
	return file, os.WriteFile(file, []byte(strings.NewReplacer(all...).Replace(text)), 0o600)
}

func startEcho(b *bench, s *server) (err error) {
	if s.process, err = b.start("echo", b.paths["echo"], s.port, fmt.Sprint(runtime.NumCPU())); err != nil {
		return err
	}
	return b.awaitAnswer(s, "example.net.", dns.TypeA)
}

const unboundConf = `server:
	interface: 127.0.0.1
	port: PORT
	do-daemonize: no
	username: ""
	chroot: ""
	directory: "DIR"
	pidfile: ""
	use-syslog: no
	num-threads: THREADS
	so-reuseport: yes
	module-config: "iterator"
	do-ip6: no
	do-not-query-localhost: no
	access-control: 127.0.0.0/8 allow
	tls-cert-bundle: "AUTHORITY"
remote-control:
	control-enable: no
forward-zone:
	name: "."
	forward-addr: 127.0.0.1@UDP
forward-zone:
	name: "tcp.example.net."
	forward-tcp-upstream: yes
	forward-addr: 127.0.0.1@TCP
forward-zone:
	name: "tls.example.net."
	forward-tls-upstream: yes
	forward-addr: 127.0.0.1@TLS#` + upstreamName + `
`

func startUnbound(b *bench, s *server) error {
	file, err := b.writeConfig(s, unboundConf)
	if err != nil {
		return err
	}
	if s.process, err = b.start("unbound", b.paths["unbound"], "-d", "-c", file); err != nil {
		return err
	}
	return b.awaitAnswer(s, "example.net.", dns.TypeA)
}

func startDnsmasq(b *bench, s *server) error {
	me, err := user.Current()
	if err != nil {
		return err
	}
	s.process, err = b.start("dnsmasq", b.paths["dnsmasq"], "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user="+me.Username,
		"--listen-address=127.0.0.1", "--bind-interfaces", "--port="+s.port, "--no-resolv", "--no-hosts", "--server=127.0.0.1#"+b.up.udp,
		"--cache-size=10000", "--dns-forward-max=10000", "--log-facility=-")
	if err != nil {
		return err
	}
	return b.awaitAnswer(s, "example.net.", dns.TypeA)
}

const knotConf = `server:
    rundir: "DIR"
    listen: 127.0.0.1@PORT
    udp-workers: THREADS
    tcp-workers: THREADS
    udp-max-payload: 4096
database:
    storage: "DIR"
remote:
  - id: primary
    address: 127.0.0.1@PRIMARY
template:
  - id: default
    storage: "DIR"
    master: primary
    zonefile-sync: -1
    journal-content: none
zone:
  - domain: cluster.local
  - domain: in-addr.arpa
`

// startKnot starts Knot DNS as a secondary of clusterdns.
func startKnot(b *bench, s *server) error {
	if err := b.addWide(s.world); err != nil { // before the transfer
		return err
	}
	primary, err := b.server(s.world, b.peerNamed("clusterdns"))
	if err != nil {
		return err
	}
	if err := b.awaitWide(primary); err != nil {
		return err
	}
	file, err := b.writeConfig(s, knotConf, "PRIMARY", primary.port)
	if err != nil {
		return err
	}
	if s.process, err = b.start("knot", b.paths["knotd"], "-c", file); err != nil {
		return err
	}
	for _, zone := range []string{"cluster.local.", "in-addr.arpa."} {
		if err := b.awaitAnswer(s, zone, dns.TypeSOA); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) peerNamed(name string) *peer {
	return &b.all[slices.IndexFunc(b.all, func(p peer) bool { return p.name == name })]
}

// awaitAnswer waits until a server has an answer.
func (b *bench) awaitAnswer(s *server, name string, qtype uint16) error {
	return b.await(s.process, 2*time.Minute, "an answer to "+name, func() bool {
		reply, err := ask(s, question{name, qtype}.message(true), false)
		return err == nil && reply.Rcode == dns.RcodeSuccess && len(reply.Answer) > 0
	})
}

// awaitWide waits until a server has the services of addWide.
func (b *bench) awaitWide(s *server) error {
	if s.world.size == 0 || !s.world.wide || !slices.Contains(s.peer.parts, updates) || s.peer.name == "echo" {
		return nil
	}
	return b.awaitAnswer(s, lastWide, dns.TypeA)
}

// lastWide is the name of the service that load -wide writes last.
const lastWide = "wide-200-9.team-00.svc.cluster.local."
