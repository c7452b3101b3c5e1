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
				if at, err := netip.ParseAddrPort(w); err != nil || at.Port() == 0 || at.Addr().IsUnspecified() {
					a.fail("got %q, wants %s", w, want)
				}
				all = append(all, w)
			}
			slices.Sort(all) // equal options share a watch
			p.Ask = strings.Join(slices.Compact(all), ",")
		},
		"listen": func(a *args) {
			w := a.word("an address with a port such as :9154")
			if at, err := netip.ParseAddrPort(anyAddress(w)); err != nil || at.Port() == 0 {
				a.fail("got %q, wants an address with a port such as :9154", w)
			}
			p.Listen = w
		},
		"secret": func(a *args) {
			p.SecretFile = a.word("a file")
			content := a.content(p.SecretFile)
			if a.err != nil {
				return
			}
			if err := watch.CheckSecret(content); err != nil {
				a.fail("%q %v", p.SecretFile, err)
			}
		},
		"tls": func(a *args) {
			p.CertFile, p.KeyFile, p.CAFile = a.word("CERT KEY CA"), a.word("KEY"), a.word("CA")
			if a.more() {
				p.Name = a.word("")
			}
			a.checkKeyPair(p.CertFile, p.KeyFile)
			a.checkRoots(p.CAFile)
		},
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
	p, a := &c.Objects.Snapshot.Peers, c.peersAt
	if a == nil || a.err != nil {
		return
	}
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
