package config

import (
	"maps"
	"slices"

	"github.com/clusterdns/clusterdns/resolver"
)

// block is one server block being read.
type block struct {
	Block
	*process
	at        position
	keys      []located
	zones     []string // of all keys: what directives mean when they name none
	bind      []binding
	transfers []position // of Steps.Transfers
	seen      map[string]position
}

// located is a key with its place.
type located struct {
	key
	at position
}

// process is what directives say about the whole process, whichever block they stand in.
type process struct {
	config *Config
	folder string // of the Corefile
}

// directive is how a directive is read. A nil read is one that CoreDNS has and we do not serve yet.
type directive struct {
	read func(*block, *args)
	once bool // at most once in a server block, as in CoreDNS
}

// directives is every directive of CoreDNS 1.15.
//
// To add a directive:
//  1. declare what it sets where it is used: resolver.Block for a step, Block or Config here for the server;
//  2. write its reader `func (b *block) name(a *args)` in the file of its family: defaults first, then words, then a.options;
//  3. replace its line here;
//  4. give it a line in summary.go, and one with a comment in Corefile.example;
//  5. add testdata/corefiles/name.txtar with a Corefile that uses all its options, and one for each mistake.
func directives() map[string]directive {
	return map[string]directive{
		"bind":        {read: (*block).listen},
		"bufsize":     {read: (*block).bufsize},
		"cache":       {read: (*block).cache, once: true},
		"debug":       {read: (*block).debug},
		"errors":      {read: (*block).errors, once: true},
		"forward":     {read: (*block).forward},
		"health":      {read: (*block).health},
		"hosts":       {read: (*block).hosts, once: true},
		"kubernetes":  {read: (*block).kubernetes},
		"loadbalance": {read: (*block).loadbalance},
		"log":         {read: (*block).log},
		"loop":        {read: (*block).loop, once: true},
		"pprof":       {read: (*block).pprof, once: true},
		"prometheus":  {read: (*block).prometheus, once: true},
		"proxy":       {read: (*block).proxy},
		"ready":       {read: (*block).ready, once: true},
		"reload":      {read: (*block).reload},
		"transfer":    {read: (*block).transfer},

		"acl": {}, "any": {}, "auto": {}, "autopath": {}, "azure": {}, "cancel": {}, "chaos": {}, "clouddns": {}, "dns64": {},
		"dnssec": {}, "dnstap": {}, "dynupdate": {}, "erratic": {}, "etcd": {}, "file": {}, "geoip": {}, "grpc": {},
		"grpc_server": {}, "header": {}, "https": {}, "https3": {}, "k8s_external": {}, "local": {}, "metadata": {}, "minimal": {},
		"multisocket": {}, "nomad": {}, "nsid": {}, "on": {}, "proxyproto": {}, "quic": {}, "rewrite": {}, "root": {}, "route53": {},
		"secondary": {}, "shed": {}, "sign": {}, "siit": {}, "template": {}, "timeouts": {}, "tls": {}, "trace": {},
		"tsig": {}, "view": {}, "whoami": {},
	}
}

// Directives is the names of the directives that are served, sorted.
func Directives() []string {
	var names []string
	for name, d := range directives() {
		if d.read != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// read reads one directive into the block.
func (b *block) read(a *args, table map[string]directive) error {
	d, known := table[a.name]
	before, twice := b.seen[a.name]
	switch {
	case !known:
		return a.at.errorf("unknown directive %q%s", a.name, DidYouMean(a.name, slices.Collect(maps.Keys(table))))
	case d.read == nil:
		return a.at.errorf("directive %q is not supported yet", a.name)
	case d.once && twice:
		return a.at.errorf("%s: may be given once in a server block, and is at %s", a.name, before)
	}
	b.seen[a.name] = a.at
	d.read(b, a)
	a.end()
	return a.err
}

// steps is the resolver's part of the block with what it is without any directive.
func steps(zones []string) resolver.Block {
	return resolver.Block{Zones: zones, Bufsize: standardBufsize}
}
