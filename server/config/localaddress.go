package config

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/clusterdns/clusterdns/server/device"
)

// defaultDevice is the name that NodeLocal DNSCache gives to its device, which other programs know.
const defaultDevice = "nodelocaldns"

const (
	mostDeviceName     = 15 // IFNAMSIZ of Linux is 16, with the octet that ends it
	mostLocalAddresses = 16 // because each has two series of metrics, and nobody needs more
)

// local_address ADDRESS… [DEVICE]
func (b *blockReader) localAddress(a *args) {
	words := a.atLeastOne("an address")
	name := defaultDevice
	if last := len(words) - 1; last > 0 && !strings.ContainsAny(words[last], ".:/") {
		name, words = words[last], words[:last]
	}
	if len(name) > mostDeviceName || strings.ContainsAny(name, "% ") {
		a.fail("got %q, wants the name of a network device, of at most %d characters", name, mostDeviceName)
	}
	for _, w := range words {
		address, err := netip.ParseAddr(w)
		if err != nil || !canBeGiven(address) {
			a.fail("got %q, wants an address that a machine can be given, such as 169.254.20.10 or fd00::a", w)
			return
		}
		b.giveAddress(a, device.Address{Addr: address, Device: name})
	}
	a.finish()
}

// canBeGiven reports whether an address can be one machine's own. Loopback is there already, and one of fe80::/64 is not
// complete without a zone.
func canBeGiven(a netip.Addr) bool {
	return a.Zone() == "" && !a.Is4In6() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback() &&
		!(a.Is6() && a.IsLinkLocalUnicast()) && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

func (b *blockReader) giveAddress(a *args, wanted device.Address) {
	all := &b.config.LocalAddresses
	i := slices.IndexFunc(*all, func(other LocalAddress) bool { return other.Addr == wanted.Addr })
	switch {
	case i >= 0 && (*all)[i].Device != wanted.Device:
		a.fail("%v is on device %s at %s: an address is on one device", wanted.Addr, (*all)[i].Device, (*all)[i].At)
	case i < 0 && len(*all) == mostLocalAddresses:
		a.fail("more than %d addresses", mostLocalAddresses)
	case i < 0:
		*all = append(*all, LocalAddress{wanted, a.at.String()})
	}
}

func summarizeLocalAddresses(c *Config) string {
	var words []string
	for _, a := range c.LocalAddresses {
		words = append(words, a.Addr.String()+" on "+a.Device)
	}
	return when(len(words) > 0, "local_address %s", strings.Join(words, ", "))
}
