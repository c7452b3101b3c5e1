package config

import (
	"math"
	"slices"
	"strings"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// defaultSignatures is how many signatures are kept, as in CoreDNS.
const defaultSignatures = 10000

// dnssec [ZONES…] { key file KEY…; cache_capacity CAPACITY }
func (b *blockReader) dnssec(a *args) {
	d := &resolver.Dnssec{Zones: a.zonesOr(b.zones...), Capacity: defaultSignatures}
	b.Steps.Dnssec = d
	a.options(options{
		"key":            func(o *args) { b.signingKeys(o, d) },
		"cache_capacity": func(o *args) { d.Capacity = o.number(1, math.MaxInt32) },
	})
	if a.err == nil && len(d.Keys) == 0 {
		a.fail("has no key, and nothing can be signed: write `key file KEY` into its block")
	}
}

// signingKeys reads KEY…, each the name of one of a key's two files or what both begin with.
func (b *blockReader) signingKeys(o *args, d *resolver.Dnssec) {
	const want = "file KEY…"
	switch word := o.word(want); word {
	case "file":
	case "aws_secretsmanager":
		o.fail("%s is not served; instead: key file KEY, with the secret mounted as files, as the Secrets Store CSI driver does", word)
	default:
		o.fail("got %q, wants %s", word, want)
	}
	if !o.more() {
		o.word(want)
	}
	for o.more() {
		base := strings.TrimSuffix(strings.TrimSuffix(o.word(want), ".key"), ".private")
		base = b.inRoot(base)
		b.checkKey(o, base, d.Zones)
		d.Keys = append(d.Keys, base)
	}
}

// checkKey fails unless the key can be read and is of one of the zones, or of a zone that one of them is in.
func (b *blockReader) checkKey(o *args, base string, zones []string) {
	public, havePublic := o.content(base + ".key")
	private, havePrivate := o.content(base + ".private")
	if !havePublic || !havePrivate {
		return
	}
	key, err := resolver.ReadKey(public, private)
	if err != nil {
		o.fail("%q: %v", base, err)
		return
	}
	owner, _ := wire.ParseName(key.Owner())
	if !slices.ContainsFunc(zones, func(zone string) bool {
		name, _ := wire.ParseName(zone)
		return wire.Within([]byte(name), []byte(owner))
	}) {
		o.fail("%q is a key of %s, which none of %s is in", base, key.Owner(), strings.Join(zones, " "))
	}
}

func usesDnssec(b *Block) bool { return b.Steps.Dnssec != nil }

func summarizeDnssec(b *Block, s *summary) {
	d := b.Steps.Dnssec
	if d == nil {
		return
	}
	l := s.step("dnssec for %s", names(d.Zones))
	for _, key := range d.Keys {
		l.add(true, "key %s", key)
	}
	l.add(d.Capacity != defaultSignatures, "%d signatures kept", d.Capacity)
}
