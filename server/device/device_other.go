//go:build !linux

package device

import (
	"fmt"
	"net/netip"
	"os"
	"runtime"
)

func ensure(a Address) (bool, error) {
	return false, fmt.Errorf("%v on device %s: addresses are made on Linux only, and this is %s: make it before the start, "+
		"and take the line out", a.Addr, a.Device, runtime.GOOS)
}

func remove(Address, bool) error { return nil }

func listens(netip.Addr) bool { return false }

func lockMachine() (unlock func()) { return func() {} }

func follow() (*os.File, error) { return nil, fmt.Errorf("not on %s", runtime.GOOS) }
