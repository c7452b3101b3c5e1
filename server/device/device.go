// Package device gives the machine addresses that only this process serves, such as the link-local one of a server on each
// node, and takes them away again. A device that it makes bears its mark, so that what a killed process has left belongs to
// the next one; whatever else was there before stays as it was. Any number of goroutines may use a Table.
package device

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/clusterdns/clusterdns/observe"
)

// Address is an address and the name of the network device that has it.
type Address struct {
	netip.Addr
	Device string
}

// Table is the addresses that a program has asked for.
type Table struct {
	log     *slog.Logger
	failing observe.Limiter

	mu      sync.Mutex
	entries []*entry
}

type entry struct {
	Address
	wanted   bool   // else it is to go, and somebody listens there yet
	made     bool   // by this process, on a device without the mark
	present  bool   // as it was seen last
	restored uint64 // times that somebody else had taken it away
}

// Count is what is known of one address.
type Count struct {
	Address
	Present  bool
	Restored uint64
}

// NewTable makes a table without addresses.
func NewTable(log *slog.Logger) *Table { return &Table{log: log} }

// Lock keeps other processes of the machine from taking addresses away until unlock is called: between Add and the opening of
// a socket there, a process that ends would see nobody who needs the address.
func (t *Table) Lock() (unlock func()) { return lockMachine() }

// Add sees to it that the machine has the address. What is there already is taken as it is, which needs no permission.
func (t *Table) Add(a Address) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	made, err := ensure(a)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(t.entries, func(e *entry) bool { return e.Address == a })
	if i < 0 {
		i = len(t.entries)
		t.entries = append(t.entries, &entry{Address: a})
	}
	e := t.entries[i]
	e.wanted, e.made, e.present = true, e.made || made, true
	if made {
		t.log.Info("local_address: the machine has it now", "address", a.Addr, "device", a.Device)
	}
	return nil
}

// Keep takes away the addresses that are not wanted any more. One on which a socket waits for clients, of this process or of
// another one, stays until it does not.
func (t *Table) Keep(wanted []Address) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.entries {
		before := e.wanted
		if e.wanted = slices.Contains(wanted, e.Address); before && !e.wanted && listens(e.Addr) {
			t.log.Info("local_address: it stays, since a socket is bound to it", "address", e.Addr, "device", e.Device)
		}
	}
	t.clear()
}

// clear takes away what is not wanted, as far as nobody listens there.
func (t *Table) clear() {
	if !slices.ContainsFunc(t.entries, func(e *entry) bool { return !e.wanted }) {
		return
	}
	defer lockMachine()()
	t.entries = slices.DeleteFunc(t.entries, func(e *entry) bool {
		if e.wanted || listens(e.Addr) {
			return false
		}
		if err := remove(e.Address, e.made); err != nil {
			t.log.Error("local_address: it cannot be taken away", "address", e.Addr, "device", e.Device, "err", err)
		}
		return true
	})
}

const (
	checkInterval = 10 * time.Second // because the kernel may lose news of an address; what it does tell is acted on at once
	restorePause  = time.Second      // because somebody who always takes it away must not cost a CPU
	complainPause = 10 * time.Second
)

// Run brings back what somebody else takes away, until ctx ends.
func (t *Table) Run(ctx context.Context) {
	news, err := follow()
	if err != nil {
		t.log.Error("local_address: the kernel does not tell of changes; an address that is taken away is not restored", "err", err)
		return
	}
	defer context.AfterFunc(ctx, func() { news.Close() })()
	defer news.Close()
	octets := make([]byte, 4096) // what the news is does not matter
	for ctx.Err() == nil {
		if t.restore() {
			observe.Pause(ctx, restorePause)
		}
		news.SetReadDeadline(time.Now().Add(checkInterval))
		if _, err := news.Read(octets); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			observe.Pause(ctx, restorePause) // too much news for the socket's buffer
		}
	}
}

// restore reports whether an address was not there.
func (t *Table) restore() (missed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clear()
	for _, e := range t.entries {
		if !e.wanted {
			continue
		}
		made, err := ensure(e.Address)
		e.present = err == nil
		switch {
		case err != nil:
			missed = true
			if omitted, ok := t.failing.Allow(time.Now(), complainPause); ok {
				t.log.Error("local_address: it was taken away and cannot be made", "address", e.Addr, "device", e.Device,
					"err", err, "omitted", omitted)
			}
		case made:
			missed = true
			e.restored++
			if omitted, ok := t.failing.Allow(time.Now(), complainPause); ok {
				t.log.Warn("local_address: somebody had taken it away; it is back", "address", e.Addr, "device", e.Device,
					"omitted", omitted)
			}
		}
	}
	return missed
}

// Counts is what is known of each address that is wanted.
func (t *Table) Counts() (all []Count) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.entries {
		if e.wanted {
			all = append(all, Count{e.Address, e.present, e.restored})
		}
	}
	return all
}
