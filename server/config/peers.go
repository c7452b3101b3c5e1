package config

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/clusterdns/clusterdns/watch"
)

// peerOptions are the lines of `snapshot` about peers, by their first word. A file of that name is written ./peers.
func (c *kubernetesOptions) peerOptions() map[string]func(*args) {
	p := &c.Objects.Snapshot.Peers
	return map[string]func(*args){
		"peers": func(a *args) {
			const want = "addresses with ports such as 10.96.0.10:9154: names cannot be asked for before there is DNS"
			all := strings.FieldsFunc(p.Ask, func(r rune) bool { return r == ',' }) // of lines before
			for _, w := range a.atLeastOne(want) {
				needPort(a, w)
				if at, err := netip.ParseAddrPort(w); err != nil || at.Port() == 0 || at.Addr().IsUnspecified() {
					a.fail("got %q, wants %s", w, want)
				}
				all = append(all, w)
			}
			slices.Sort(all) // equal options share a watch
			p.Ask = strings.Join(slices.Compact(all), ",")
		},
		"listen": c.once(func(a *args) {
			w := a.word("an address with a port such as :9154")
			needPort(a, w)
			if at, err := netip.ParseAddrPort(anyAddress(w)); err != nil || at.Port() == 0 {
				a.fail("got %q, wants an address with a port such as :9154", w)
			}
			p.Listen = w
		}),
		"secret": c.once(func(a *args) {
			p.SecretFile = a.word("a file")
			if content, ok := a.content(p.SecretFile); ok {
				if err := watch.CheckSecret(content); err != nil {
					a.fail("%q %v", p.SecretFile, err)
				}
			}
		}),
		"tls": c.once(func(a *args) {
			const want = "CERT KEY CA [NAME], files in PEM: "
			p.CertFile, p.KeyFile = a.word(want+"all are missing"), a.word(want+"KEY and CA are missing")
			p.CAFile = a.word(want + "CA is missing")
			if a.more() {
				p.Name = a.word("")
			}
			a.checkKeyPair(p.CertFile, p.KeyFile)
			a.checkRoots(p.CAFile)
		}),
	}
}

// needPort fails where a word is an address alone.
func needPort(a *args, word string) {
	if at, err := netip.ParseAddr(strings.Trim(word, "[]")); err == nil {
		a.fail("%s needs a port, as in %s", word, netip.AddrPortFrom(at, 9154))
	}
}

// anyAddress is where one listens by a port alone.
func anyAddress(w string) string {
	if strings.HasPrefix(w, ":") {
		return "[::]" + w
	}
	return w
}

// checkPeers fails when what is given of peers is not whole, or would have the secret or the names of the cluster cross a
// network in plain text.
func (c *kubernetesOptions) checkPeers(d *args) {
	if c.peersAt == nil || c.peersAt.err != nil {
		return
	}
	p, a := &c.Objects.Snapshot.Peers, &args{statement: c.peersAt.statement, title: d.title + ": snapshot"}
	switch open := c.beyondLoopback(); {
	case c.Objects.Snapshot.Path == "":
		a.fail("peers need `snapshot FILE` too: what is given is the file, and what a peer gives is kept there")
	case p.Ask == "" && p.Listen == "":
		a.fail("is without `snapshot peers ADDRESS:PORT` and `snapshot listen ADDRESS:PORT`, and nobody is asked or given anything")
	case p.SecretFile == "":
		a.fail("peers need `snapshot secret FILE`, a secret of 16 octets or more that all replicas have")
	case p.CertFile == "" && open != "":
		a.fail("%s is not a loopback address, and the secret would cross the network in plain text: add `snapshot tls CERT KEY CA`", open)
	}
	d.err = cmp.Or(d.err, a.err)
}

// beyondLoopback is the first address by which something would leave the machine, "" for none.
func (c *kubernetesOptions) beyondLoopback() string {
	p := &c.Objects.Snapshot.Peers
	for _, w := range append(strings.Split(p.Ask, ","), p.Listen) {
		if at, err := netip.ParseAddrPort(anyAddress(w)); err == nil && !at.Addr().Unmap().IsLoopback() {
			return w
		}
	}
	return ""
}
