package config

import (
	"slices"

	"github.com/clusterdns/clusterdns/resolver"
)

// directive is one row of the table of directives.
type directive struct {
	name string
	read func(*blockReader, *args) // nil for one that CoreDNS has and we do not serve yet
	once bool                      // at most once in a server block, as in CoreDNS

	// enabled reports whether a block uses it. It is nil for what CoreDNS does not count in coredns_plugin_enabled:
	// CoreDNS counts the plugins that handle queries, so `ready` and `debug` are not among them.
	enabled func(*Block) bool

	summary func(*Block, *summary) // what `check` prints of it for a block that uses it; nil for nothing
	process func(*Config) string   // what `check` prints of it for the whole process; nil or "" for nothing
}

// directives is the table: every directive of CoreDNS 1.15, proxy, which older releases had, and ours. What is served comes
// first, in the order that `check` prints: the steps of a query in the order that they run (the order of the fields of
// resolver.Block), then what is done around them.
//
// To add a directive:
//  1. declare what it sets where it is used: in resolver.Block for a step, in Block or Config here for the server;
//  2. act on it: for a step follow the checklist in resolver/block.go, for the rest let the server read the new field;
//  3. write its reader `func (b *blockReader) name(a *args)` in the file of its family: defaults first, which are
//     constants of that file, then words, then a.options;
//  4. beside the reader, write what `check` prints of it and, if CoreDNS counts it in coredns_plugin_enabled, whether a
//     block uses it;
//  5. fill its row, and move it from the end of the table to its place;
//  6. add testdata/corefiles/name.txtar with a Corefile that uses all its options, and one for each mistake; give it a
//     line in the Corefile of TestEnabled, and in the list there if CoreDNS counts it;
//  7. explain it in Corefile.example, which TestExample of server holds to this table and asks;
//  8. tell in docs: corefile.md (the output of -plugins), operations.md (counters, bounds), differences.md;
//  9. add a story to testdata/stories for what it answers;
//  10. hold its line in guide.go to it, with a sample of each option, and write docs/directives.md anew
//     (go test ./server/config -run TestDocument -update).
func directives() []directive {
	return append([]directive{
		{name: "root", read: (*blockReader).root},
		{name: "bind", read: (*blockReader).listen},
		{name: "local_address", read: (*blockReader).localAddress, process: summarizeLocalAddresses},
		{name: "tls", read: (*blockReader).tls, once: true, summary: summarizeTLS},
		{name: "timeouts", read: (*blockReader).timeouts, summary: summarizeTimeouts},
		{name: "https", read: (*blockReader).https, once: true, summary: summarizeBounds(resolver.DoH)},
		{name: "https3", read: (*blockReader).https3, once: true, summary: summarizeBounds(resolver.DoH3)},
		{name: "quic", read: (*blockReader).quic, once: true, summary: summarizeBounds(resolver.DoQ)},
		{name: "grpc_server", read: (*blockReader).grpcServer, once: true, summary: summarizeBounds(resolver.DoGRPC)},
		{name: "multisocket", read: (*blockReader).multisocket, once: true, summary: summarizeSockets},
		{name: "view", read: (*blockReader).view, once: true, enabled: usesView, summary: summarizeView},
		{name: "metadata", read: (*blockReader).metadata, once: true, enabled: usesMetadata, summary: summarizeMetadata},

		{name: "cancel", read: (*blockReader).cancel, enabled: usesCancel, summary: summarizeCancel},
		{name: "dnssec", read: (*blockReader).dnssec, once: true, enabled: usesDnssec, summary: summarizeDnssec},
		{name: "local", read: (*blockReader).local, enabled: usesLocal, summary: summarizeLocal},
		{name: "dns64", read: (*blockReader).dns64, enabled: usesDNS64, summary: summarizeDNS64},
		{name: "any", read: (*blockReader).any, enabled: usesAny, summary: summarizeAny},
		{name: "chaos", read: (*blockReader).chaos, enabled: usesChaos, summary: summarizeChaos},
		{name: "rewrite", read: (*blockReader).rewrite, enabled: usesRewrite, summary: summarizeRewrites},
		{name: "autopath", read: (*blockReader).autopath, once: true, enabled: usesAutopath, summary: summarizeAutopath},
		{name: "search", read: (*blockReader).search, once: true, enabled: usesSearch, summary: summarizeSearch},
		{name: "acl", read: (*blockReader).acl, enabled: usesACL, summary: summarizeACLs},
		{name: "header", read: (*blockReader).header, enabled: usesHeader, summary: summarizeHeader},
		{name: "minimal", read: (*blockReader).minimal, enabled: usesMinimal, summary: summarizeMinimal},
		{name: "template", read: (*blockReader).template, enabled: usesTemplate, summary: summarizeTemplates},
		{name: "hosts", read: (*blockReader).hosts, once: true, enabled: usesHosts, summary: summarizeHosts},
		{name: "k8s_external", read: (*blockReader).external, enabled: usesExternal, summary: summarizeExternals},
		{name: "k8s_gateway", read: (*blockReader).gateway, enabled: usesGateway, summary: summarizeGateways},
		{name: "kubernetes", read: (*blockReader).kubernetes, enabled: usesKubernetes, summary: summarizeKubernetes},
		{name: "file", read: (*blockReader).file, enabled: usesFile, summary: summarizeFiles},
		{name: "auto", read: (*blockReader).auto, enabled: usesAuto, summary: summarizeFolders},
		{name: "secondary", read: (*blockReader).secondary, enabled: usesSecondary, summary: summarizeSecondaries},
		{name: "etcd", read: (*blockReader).etcd, enabled: usesEtcd, summary: summarizeEtcd},
		{name: "transfer", read: (*blockReader).transfer, enabled: usesTransfer, summary: summarizeTransfers},
		{name: "cache", read: (*blockReader).cache, once: true, enabled: usesCache, summary: summarizeCache},
		{name: "loop", read: (*blockReader).loop, once: true, enabled: usesLoop, summary: summarizeLoop},
		{name: "forward", read: (*blockReader).forward, enabled: usesForward, summary: summarizeForwards},
		{name: "grpc", read: (*blockReader).grpc, once: true, enabled: usesGRPC}, // forward says the rest
		{name: "erratic", read: (*blockReader).erratic, enabled: usesErratic, summary: summarizeErratic},
		{name: "whoami", read: (*blockReader).whoami, enabled: usesWhoami, summary: summarizeWhoami},
		{name: "proxy", read: (*blockReader).proxy}, // forward says the rest

		{name: "loadbalance", read: (*blockReader).loadbalance, enabled: usesLoadbalance,
			summary: summarizeLoadbalance},
		{name: "nsid", read: (*blockReader).nsid, enabled: usesNSID, summary: summarizeNSID},
		{name: "bufsize", read: (*blockReader).bufsize, enabled: usesBufsize, summary: summarizeBufsize},
		{name: "errors", read: (*blockReader).errors, once: true, enabled: usesErrors, summary: summarizeErrors},
		{name: "log", read: (*blockReader).log, enabled: usesLog, summary: summarizeLog},
		{name: "trace", read: (*blockReader).trace, enabled: usesTrace, summary: summarizeTrace},
		{name: "dnstap", read: (*blockReader).dnstap, enabled: usesDnstap, summary: summarizeDnstaps},
		{name: "shadow", read: (*blockReader).shadow, once: true, enabled: usesShadow, summary: summarizeShadow},
		{name: "health", read: (*blockReader).health, process: summarizeHealth},
		{name: "ready", read: (*blockReader).ready, once: true, summary: summarizeReady, process: summarizeReadiness},
		{name: "prometheus", read: (*blockReader).prometheus, once: true, enabled: usesPrometheus,
			summary: summarizeMeasured, process: summarizePrometheus},
		{name: "pprof", read: (*blockReader).pprof, once: true, process: summarizePprof},
		{name: "dashboard", read: (*blockReader).dashboard, once: true, process: summarizeDashboard},
		{name: "reload", read: (*blockReader).reload, process: summarizeReload},
		{name: "debug", read: (*blockReader).debug, summary: summarizeDebug},
	}, unserved(
		"azure", "clouddns", "dynupdate", "geoip",
		"nomad", "on",
		"proxyproto", "route53", "shed", "sign", "siit", "tsig",
	)...)
}

// unserved is the rows of the directives that are known by name only.
func unserved(names ...string) (rows []directive) {
	for _, name := range names {
		rows = append(rows, directive{name: name})
	}
	return rows
}

// find is the row of a directive.
func find(table []directive, name string) (row directive, known bool) {
	i := slices.IndexFunc(table, func(d directive) bool { return d.name == name })
	if i < 0 {
		return directive{}, false
	}
	return table[i], true
}

// Directives is the names of the directives that are served, sorted.
func Directives() (names []string) {
	for _, d := range directives() {
		if d.read != nil {
			names = append(names, d.name)
		}
	}
	slices.Sort(names)
	return names
}

// Enabled is the names of the directives that the block uses, as far as CoreDNS counts them in coredns_plugin_enabled.
func (b *Block) Enabled() (names []string) {
	for _, d := range directives() {
		if d.enabled != nil && d.enabled(b) {
			names = append(names, d.name)
		}
	}
	return names
}
