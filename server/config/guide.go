package config

import "strings"

// advice is what people are told of a directive when it is refused, and in docs/directives.md.
type advice struct {
	name    string
	spare   bool       // a Corefile without it answers the same questions with the same records
	without string     // what is lost without it
	instead substitute // where we do not serve it

	// Samples, which docs/directives.md shows and the tests read. Together they have each word that CoreDNS 1.15 knows
	// for the directive, and each option of ours.
	line    string   // the directive; its name when it takes no words
	forms   []string // other lines of it, each perhaps with a block
	options []string // lines of its block
	needs   []string // those of them that it is not read without
	beside  string   // the directive that it is not read without

	// insteads is what to write in the place of options that are known and not served, by their names.
	insteads map[string]substitute
}

// substitute is what to write in the place of what is not served.
type substitute struct {
	words   string // for an error
	example string // lines of a server block; "" where it is not for the Corefile to do
}

// errorf is the mistake of what it is the substitute for.
func (s substitute) errorf(at position, format string, values ...any) error {
	mistake := at.mistake(format, values...)
	mistake.Text += when(s.words != "", "; instead: %s", s.words)
	mistake.Example = indent(s.example)
	return mistake
}

// indent is lines of a server block as people write them.
func indent(lines string) string {
	depth := 0
	var b strings.Builder
	for line := range strings.Lines(lines) {
		if line[0] == '}' {
			depth--
		}
		b.WriteString(strings.Repeat("    ", depth) + line)
		if strings.HasSuffix(line, "{\n") {
			depth++
		}
	}
	return b.String()
}

var acmeInstead = substitute{"tls CERT KEY, with files that cert-manager or an ACME client renews: they are read again when they change",
	"tls cert key"}

// guide has a line for each directive of the table.
func guide() []advice {
	return []advice{
		{name: "bind", without: "the block listens on all addresses", line: "bind 127.0.0.1 127.0.0.2",
			options: []string{"except 127.0.0.2"}},
		{name: "view", without: "the block is for all clients", line: "view name", needs: []string{"expr true"},
			options: []string{"expr true"}},
		{name: "dns64", without: "clients with IPv6 alone do not reach what has IPv4 alone", line: "dns64 64:ff9b::/96",
			options: []string{"prefix 64:ff9b::/96", "translate_all", "allow_ipv4"}},
		{name: "rewrite", without: "names are looked up as they are asked for",
			line: "rewrite name a.example b.example",
			forms: []string{"rewrite stop name exact a.example b.example answer auto",
				"rewrite continue name prefix a- b- answer name b- a- answer value b- a-",
				"rewrite name suffix .a.example. .b.example.",
				"rewrite name substring a b",
				"rewrite name regex (.*)[.]a[.]example {1}.b.example answer name (.*)[.]b[.]example {1}.a.example",
				"rewrite name regex ^www[.](.*)$ {kubernetes/client-namespace}.{1} metadata",
				"rewrite class CH IN", "rewrite type ANY HINFO", "rewrite ttl a.example 60-300",
				"rewrite rcode a.example SERVFAIL NOERROR",
				"rewrite cname exact a.example. b.example.", "rewrite edns0 local set 0xffee {client_ip} revert",
				"rewrite edns0 local append 0xffee {kubernetes/client-namespace}", "rewrite edns0 nsid replace",
				"rewrite edns0 subnet set 24 56", "rewrite edns0 local unset 0xffee"}},
		{name: "autopath", spare: true, without: "clients ask for each domain of their search list themselves",
			line: "autopath @kubernetes", forms: []string{"autopath /etc/resolv.conf"},
			beside: "kubernetes cluster.local {\npods verified\n}"},
		{name: "search", spare: true, without: "clients ask for each domain of their search list themselves",
			line: "search", options: []string{"domains example.net", "domains /etc/resolv.conf", "domains off", "dots 1 4"},
			beside: "kubernetes cluster.local"},
		{name: "acl", without: "everybody may ask", line: "acl",
			options: []string{"allow net 10.0.0.0/8", "block type ANY", "filter net *", "drop net 10.1.0.0/16"}},
		{name: "template", without: "its names are looked up further on", line: "template ANY ANY test",
			options: []string{
				"match ^a[.]test[.]$", "var found group(1)", "expr incidr(client_ip(), '10.0.0.0/8')", `answer "{{ .Name }} 60 IN A 192.0.2.1"`, `authority "test. 60 IN NS a.test."`,
				`additional "a.test. 60 IN A 192.0.2.1"`, "rcode NXDOMAIN", "ederror 15 text", "fallthrough", "upstream"}},
		{name: "hosts", without: "its names are looked up further on", line: "hosts /etc/hosts",
			options: []string{"10.0.0.1 a.test", "ttl 60", "no_reverse", "reload 5s", "fallthrough",
				"fallthrough\nfallthrough_unsupported"}},
		{name: "k8s_external", without: "services have no names for clients outside", line: "k8s_external ext.test",
			beside:  "kubernetes cluster.local",
			options: []string{"apex dns", "ttl 5", "headless", "fallthrough"}},
		{name: "kubernetes", without: "the cluster has no names", line: "kubernetes cluster.local", options: []string{
			"endpoint https://192.0.2.1", "tls cert key cert", "kubeconfig kubeconfig", "apiserver_qps 5",
			"apiserver_burst 10",
			"apiserver_max_inflight 5", "namespaces a", "namespace_labels a=b", "labels a=b", "pods disabled",
			"pods insecure", "pods verified",
			"endpoint_pod_names", "ttl 30", "noendpoints", "fallthrough", "ignore empty_service",
			"multicluster cluster.local",
			"startup_timeout 5s", "snapshot snapshot 24h",
			"snapshot snapshot\nsnapshot secret secret\nsnapshot peers 127.0.0.1:9154 [::1]:9154\nsnapshot listen 127.0.0.1:9154",
			"snapshot snapshot\nsnapshot secret secret\nsnapshot listen :9154\nsnapshot tls cert key cert name.example", "zonal", "affinity", "nearest", "nearest zone",
			"nearest\nmulticluster cluster.local\ncluster_id east", "visibility own",
			"visibility labels kubernetes.io/metadata.name in (default, kube-system)", "visibility from team=web to team in (web, db)",
			"visibility nodes shared", "visibility unknown all", "toplevel count", "toplevel refuse com", "upstream", "resyncperiod 5m", "manifests folder"}},
		{name: "k8s_gateway", without: "Ingresses and Gateways have no names", line: "k8s_gateway ext.test",
			options: []string{"resources Ingress Service HTTPRoute TLSRoute GRPCRoute", "ttl 60", "apex dns",
				"secondary dns2",
				"kubeconfig kubeconfig", "manifests folder", "fallthrough", "ingressClasses a", "gatewayClasses a",
				"serviceLabelSelectors a=b", "configFile file", "nodeAddressType InternalIP", "clientFiltering"},
			insteads: map[string]substitute{
				"clientFiltering": {"view, with a block for each group of clients", "view near {\nexpr incidr(client_ip(), '10.0.0.0/8')\n}"},
				"nodeAddressType": {"hosts with a file of the nodes", "hosts /etc/coredns/NodeHosts {\nfallthrough\n}"},
				"configFile":      {"the options, each on a line of its own", "k8s_gateway ext.test {\nttl 60\n}"},
			}},
		{name: "transfer", without: "secondaries get no zone", line: "transfer",
			needs: []string{"to *"}, options: []string{"to *", "source 127.0.0.1"},
			insteads: map[string]substitute{"source": {"nothing, on a host with one address: NOTIFY comes from that of the route",
				"transfer {\nto *\n}"}}},
		{name: "cache", spare: true, without: "each question goes upstream", line: "cache 30", options: []string{
			"success 9984 30 5", "denial 9984 30 5", "prefetch 10 1m 10%", "serve_stale 1h immediate",
			"serve_stale 1h verify 100ms", "serve_stale\nserve_stale_policy prefer_positive", "servfail 5s",
			"disable success", "disable denial", "keepttl"}},
		{name: "loop", spare: true, without: "queries that come back are not noticed", line: "loop"},
		{name: "forward", without: "names outside of the block's own data have no answer",
			line: "forward . 192.0.2.1", options: []string{"except example.org", "force_tcp", "prefer_udp",
				"expire 10s",
				"max_age 1m", "max_idle_conns 5", "read_timeout 2s", "max_fails 2", "max_connect_attempts 3", "tls",
				"tls_servername name.test", "policy random", "policy round_robin", "policy sequential",
				"health_check 1s no_rec domain example.org", "max_concurrent 100",
				"next NXDOMAIN", "next_on_nodata", "failover SERVFAIL", "failfast_all_unhealthy_upstreams",
				"resolver 192.0.2.1", "source_address 127.0.0.1", "doh_method GET"}},
		{name: "proxy", without: "as without forward", line: "proxy . 192.0.2.1", options: []string{
			"except example.org", "max_fails 1", "policy random", "policy least_conn", "policy first",
			"protocol dns force_tcp", "fail_timeout 5s", "health_check /",
			"spray"}},
		{name: "loadbalance", spare: true, without: "addresses come in a fixed order", line: "loadbalance round_robin",
			forms: []string{"loadbalance weighted weights {\nreload 30s\n}"}, options: []string{"prefer 10.0.0.0/8"}},
		{name: "bufsize", spare: true, without: "replies over UDP have at most 1232 octets", line: "bufsize 1232"},
		{name: "errors", spare: true, without: "failures are not logged", line: "errors",
			forms:   []string{"errors stdout"},
			options: []string{"stacktrace", "consolidate 5m .* warning show_first"}},
		{name: "log", spare: true, without: "queries are not logged", line: "log",
			forms: []string{`log example.org "{remote} {name} {type} {rcode} {duration}"`, "log . {combined}",
				`log . "{common} {>ede}"`, `log . "{common} {clusterdns/pod}"`, "log . {json}"},
			options: []string{"class all", "class success", "class denial", "class error"}},
		{name: "health", spare: true, without: "there is no /health: a liveness probe that asks it fails",
			line:    "health",
			options: []string{"lameduck 5s"}},
		{name: "ready", spare: true, without: "there is no /ready: a readiness probe that asks it fails", line: "ready",
			options: []string{"monitor until-ready", "monitor continuously"}},
		{name: "prometheus", spare: true, without: "there is no /metrics", line: "prometheus",
			options: []string{"runtime_metrics", "tls webconfig"},
			insteads: map[string]substitute{"tls": {"a proxy beside it that ends TLS: prometheus 127.0.0.1:9153 listens for that alone",
				"prometheus 127.0.0.1:9153"}}},
		{name: "pprof", spare: true, without: "there is no /debug/pprof", line: "pprof", options: []string{"block 1"}},
		{name: "dashboard", spare: true, without: "there is no page that shows the traffic",
			line: "dashboard 127.0.0.1:1054", options: []string{"host dns.example.org"}},
		{name: "local_address", without: "somebody else must make the address and take it away",
			line: "local_address 169.254.20.10", forms: []string{"local_address 169.254.20.10 fd00::a dns0"}},
		{name: "reload", spare: true, without: "changes of the files need SIGUSR1 or a restart",
			line: "reload 30s 15s"},
		{name: "debug", spare: true, without: "debug lines are not logged", line: "debug"},

		{name: "any", spare: true, without: "ANY is answered with all records", line: "any"},
		{name: "auto", without: "its zones have no answer", line: "auto",
			needs:   []string{"directory folder db[.](.*) {1}"},
			options: []string{"directory folder db[.](.*) {1}", "reload 30s", "upstream"}},
		{name: "azure", without: "its zones have no answer", line: "azure group:example.org",
			instead: substitute{"secondary or forward for the zone: the provider's name servers have it",
				"secondary example.org {\ntransfer from 192.0.2.1\n}"},
			options: []string{"tenant id",
				"client id", "secret a", "subscription id", "environment AzurePublicCloud", "fallthrough",
				"access public",
				"access private", "refresh 1m"}},
		{name: "cancel", spare: true, without: "queries end by the timeouts of forward", line: "cancel 5s"},
		{name: "chaos", spare: true, without: "version.bind and hostname.bind have no answer",
			line: "chaos version author"},
		{name: "clouddns", without: "its zones have no answer", line: "clouddns example.org:project:zone",
			instead: substitute{"secondary or forward for the zone: the provider's name servers have it",
				"secondary example.org {\ntransfer from 192.0.2.1\n}"},
			options: []string{"credentials file", "endpoint http://localhost:8080", "fallthrough", "refresh 1m",
				"upstream"}},
		{name: "dnssec", without: "answers are not signed: take the DS record out of the parent zone first",
			line: "dnssec example.org", needs: []string{"key file Kexample.org.+013+45330"},
			options: []string{"key file Kexample.org.+013+45330", "key aws_secretsmanager name",
				"cache_capacity 10000"}},
		{name: "dnstap", spare: true, without: "queries are not sent to a collector",
			line:    "dnstap tcp://127.0.0.1:6000 full",
			forms:   []string{"dnstap /run/dnstap.sock", "dnstap listen tcp://127.0.0.1:6000 {\ntls cert key\n}"},
			options: []string{"identity a", "version b", "extra c", "skipverify"}},
		{name: "dynupdate", without: "UPDATE is not taken", line: "dynupdate example.org",
			instead: substitute{"secondary of a name server that takes updates, such as Knot or BIND",
				"secondary example.org {\ntransfer from 192.0.2.1\n}"}, options: []string{"file db",
				"database db", "allow key name A", "max_records 10000", "max_bytes 8388608",
				"max_update_records 1024"}},
		{name: "erratic", spare: true, without: "nothing is dropped or delayed on purpose", line: "erratic",
			options: []string{"drop 2", "truncate 2", "delay 2 100ms", "large"}},
		{name: "etcd", without: "names in etcd have no answer", line: "etcd example.org",
			options: []string{"fallthrough",
				"path /skydns", "endpoint http://127.0.0.1:2379", "credentials user password", "tls cert key cert",
				"no_apex_fallback", "min-lease-ttl 5s", "max-lease-ttl 1h", "stubzones", "upstream", "debug"}},
		{name: "file", without: "its zones have no answer", line: "file db.example.org",
			options: []string{"reload 30s", "reload_by_mtime", "fallthrough", "upstream"}},
		{name: "geoip", spare: true, without: "there is no metadata of a client's place", line: "geoip db.mmdb",
			instead: substitute{"view with networks: expr incidr(client_ip(), '192.0.2.0/24')",
				"view near {\nexpr incidr(client_ip(), '192.0.2.0/24')\n}"}, options: []string{"edns-subnet"}},
		{name: "grpc", without: "its upstreams are not asked", line: "grpc . 192.0.2.1:443",
			options: []string{"except example.org", "tls", "tls_servername a.test", "policy random",
				"policy round_robin",
				"policy sequential", "fallthrough"}},
		{name: "grpc_server", spare: true, without: "the standard bounds hold", line: "grpc_server",
			options: []string{"max_streams 256", "max_connections 200"}},
		{name: "header", spare: true, without: "flags are as the answer has them", line: "header",
			needs: []string{"response set ra"}, options: []string{"response set ra", "query clear rd"}},
		{name: "https", spare: true, without: "the standard bounds hold", line: "https",
			options: []string{"max_streams 256", "max_connections 200"}},
		{name: "https3", spare: true, without: "the standard bounds hold", line: "https3",
			options: []string{"max_streams 256", "max_connections 200"}},
		{name: "local", spare: true, without: "localhost is asked upstream", line: "local",
			options: []string{"localhost_prefix on", "localhost_prefix off"}},
		{name: "metadata", spare: true, without: "there is no metadata for logs, rules and templates",
			line: "metadata", instead: substitute{"log with placeholders of its own", "log . \"{remote} {name}\""}},
		{name: "minimal", spare: true, without: "answers have authority and additional records", line: "minimal"},
		{name: "multisocket", spare: true, without: "the number of sockets follows the processors",
			line: "multisocket 2"},
		{name: "nomad", without: "services of Nomad have no names", line: "nomad service.nomad",
			instead: substitute{"forward of the zone to Consul, or hosts with a file that Nomad's template writes",
				"hosts /etc/coredns/nomad.hosts {\nfallthrough\n}"},
			options: []string{"address http://127.0.0.1:4646", "filter a", "token a", "ttl 30"}},
		{name: "nsid", spare: true, without: "replies do not say which server has made them", line: "nsid name"},
		{name: "on", spare: true, without: "no command runs at start and end", line: "on startup echo",
			instead: substitute{"a hook of the container or of systemd: a name server runs no commands",
				""}},
		{name: "proxyproto", without: "clients have the balancer's address in logs, acl and view", line: "proxyproto",
			instead: substitute{"externalTrafficPolicy: Local, which keeps the clients' addresses",
				""},
			options: []string{"allow 192.0.2.0/24", "default use", "default ignore", "default reject", "default skip",
				"udp_session_tracking 1m", "tlv_metadata"}},
		{name: "quic", spare: true, without: "the standard bounds hold", line: "quic",
			options: []string{"max_streams 256", "max_connections 200", "worker_pool_size 1024"}},
		{name: "root", without: "relative paths begin in the working directory", line: "root folder"},
		{name: "route53", without: "its zones have no answer", line: "route53 example.org.:Z1",
			instead: substitute{"forward of the zone to the VPC's resolver (169.254.169.253), which knows its private zones",
				"forward example.org 169.254.169.253"},
			options: []string{"aws_access_key id key", "aws_endpoint https://192.0.2.1", "credentials profile",
				"fallthrough",
				"refresh 1m", "upstream"}},
		{name: "secondary", without: "its zones have no answer", line: "secondary example.org",
			needs:   []string{"transfer from 192.0.2.1"},
			options: []string{"transfer from 192.0.2.1", "catalog", "fallthrough", "upstream"},
			insteads: map[string]substitute{"catalog": {"the zones of the catalog, each by name",
				"secondary a.example b.example {\ntransfer from 192.0.2.1\n}"}}},
		{name: "shadow", spare: true, without: "no second server is asked the same", line: "shadow 192.0.2.1",
			options: []string{"sample 1%", "rate 100", "timeout 2s"}},
		{name: "shed", spare: true, without: "nothing is lost", line: "shed",
			instead: substitute{"nothing: what waits has bounds without it, in docs/operations.md", ""}},
		{name: "sign", without: "zone files are not signed: take the DS record out of the parent zone first",
			line: "sign db.example.org",
			instead: substitute{"dnssec, which signs the answers of file, or file for what dnssec-signzone has written",
				"file db.example.org example.org\ndnssec example.org {\nkey file Kexample.org.+013+45330\n}"},
			options: []string{"key file Kexample.org.+013+45330", "key directory folder", "directory folder"}},
		{name: "siit", without: "addresses are not translated for SIIT", line: "siit",
			instead: substitute{"dns64, where the translation is NAT64",
				"dns64 64:ff9b::/96"}, options: []string{"ipv6_prefix 64:ff9b::/96",
				"eam 192.0.2.1 2001:db8::1"}},
		{name: "timeouts", spare: true, without: "the standard timeouts of connections hold", line: "timeouts",
			needs: []string{"read 5s"}, options: []string{"read 5s", "write 5s", "idle 10s", "maxtcpqueries 100"}},
		{name: "tls", without: "nothing is served over TLS", line: "tls cert key cert",
			options: []string{"client_auth nocert", "client_auth request", "client_auth require",
				"client_auth verify_if_given",
				"client_auth require_and_verify", "keylog file", "acme example.org", "email a@example.org",
				"ca https://192.0.2.1",
				"storage folder", "ca_root cert", "resolver 192.0.2.1:53"},
			insteads: map[string]substitute{"keylog": {"nothing: secrets of connections are not written down", ""},
				"acme": acmeInstead, "email": acmeInstead, "ca": acmeInstead, "storage": acmeInstead, "ca_root": acmeInstead,
				"resolver": acmeInstead}},
		{name: "trace", spare: true, without: "queries are not traced", line: "trace zipkin localhost:9411",
			forms: []string{"trace", "trace datadog localhost:8126", "trace otlp localhost:4318"},
			options: []string{"every 100", "service coredns", "client_server", "datadog_analytics_rate 0.5",
				"zipkin_max_backlog_size 1000", "zipkin_max_batch_size 100", "zipkin_max_batch_interval 1s"}},
		{name: "tsig", without: "nobody has to sign what he asks", line: "tsig example.org",
			instead: substitute{"acl for who may ask, transfer with the addresses of the secondaries",
				"acl {\nallow net 10.0.0.0/8\nblock\n}"},
			options: []string{"secret a b", "secrets file", "require all", "require none", "require_opcode UPDATE"}},
		{name: "whoami", spare: true, without: "there is no answer with the client's address", line: "whoami"},
	}
}

// adviceOn is the advice on a directive; zero for one that is not known.
func adviceOn(name string) advice {
	for _, a := range guide() {
		if a.name == name {
			return a
		}
	}
	return advice{}
}

// unknown is what is wrong with a directive that is none of CoreDNS's.
func (a *args) unknown(known []string) error {
	if instead, is := externals()[a.name]; is {
		return instead.errorf(a.at, "%q is an external plugin, which is not part of CoreDNS and not served here", a.name)
	}
	if a.name == "federation" {
		return a.at.errorf("directive %q was removed in CoreDNS 1.7 and can be left out", a.name)
	}
	return a.at.errorf("unknown directive %q%s%s", a.name, DidYouMean(a.name, known), hintUnset(a.variables()))
}

// unserved is what is wrong with a directive that only CoreDNS has.
func (a *args) unserved() error {
	return adviceOn(a.name).instead.errorf(a.at, "directive %q is not served", a.name)
}
