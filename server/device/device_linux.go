package device

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// mark is the alias (ip link set … alias) of the devices that are made here.
const mark = "clusterdns"

// kinds are devices that have no wire, in the order that they are tried. Small kernels are without the first; a bridge without
// ports does as well.
var kinds = []string{"dummy", "bridge"}

var (
	errPermission = errors.New("not permitted: give the process the capability NET_ADMIN (in a pod securityContext.capabilities.add, " +
		"with runAsUser 0), or make the address before it starts")
	errNoKind = errors.New("the kernel makes no devices of the kinds dummy and bridge: load the module dummy, " +
		"or name a device that is there, such as lo")
	errNoIPv6 = errors.New("IPv6 is off on this machine (net.ipv6.conf.all.disable_ipv6)")
)

// ensure sees to it that the device is there and has the address, and reports whether the address was not there.
func ensure(a Address) (made bool, err error) {
	l, err := find(a.Device)
	if errors.Is(err, unix.ENODEV) {
		l, err = create(a.Device)
	}
	if err != nil {
		return false, explain(a, err)
	}
	if has, err := l.addresses(); err == nil && slices.Contains(has, a.Addr) {
		return false, nil
	}
	err = l.add(a.Addr)
	if errors.Is(err, unix.EEXIST) {
		return false, nil
	}
	return err == nil, explain(a, err)
}

// create makes a device, which stays down: an address of this machine alone needs no more, and others who look for the
// machine's addresses pass over what is down.
func create(name string) (l link, err error) {
	for _, kind := range kinds {
		if err = makeDevice(name, kind); !errors.Is(err, unix.EOPNOTSUPP) {
			break
		}
		err = errNoKind
	}
	if err != nil {
		return link{}, err
	}
	if l, err = find(name); err == nil {
		err = l.setAlias(mark)
	}
	if err != nil {
		return link{}, errors.Join(err, l.delete())
	}
	return l, nil
}

// remove takes the address away, and a device of ours with its last address. On a device of somebody else's only what this
// process has made goes.
func remove(a Address, made bool) error {
	l, err := find(a.Device)
	if err != nil || !made && l.alias != mark {
		return absent(err)
	}
	if err := absent(l.remove(a.Addr)); err != nil {
		return explain(a, err)
	}
	left, err := l.addresses()
	if l.alias == mark && err == nil && !slices.ContainsFunc(left, isSet) {
		return explain(a, absent(l.delete()))
	}
	return err
}

// isSet reports whether somebody has given a device the address. The kernel itself gives those of fe80::/64.
func isSet(a netip.Addr) bool { return a.Is4() || !a.IsLinkLocalUnicast() }

// absent is err without what says that there is nothing to be taken away.
func absent(err error) error {
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EADDRNOTAVAIL) {
		return nil
	}
	return err
}

func explain(a Address, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM):
		err = errPermission
	case a.Is6() && (errors.Is(err, unix.EACCES) || errors.Is(err, unix.EAFNOSUPPORT)):
		err = errNoIPv6
	}
	return fmt.Errorf("%v on device %s: %w", a.Addr, a.Device, err)
}

// addresses are those of the device.
func (l link) addresses() (all []netip.Addr, err error) {
	device := net.Interface{Index: int(l.index)}
	networks, err := device.Addrs()
	for _, n := range networks {
		if prefix, err := netip.ParsePrefix(n.String()); err == nil {
			all = append(all, prefix.Addr())
		}
	}
	return all, err
}
