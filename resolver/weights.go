package resolver

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/zones/feed"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// weights are those of `loadbalance weighted`. Readers load an immutable table, which run exchanges.
type weights struct {
	table atomic.Pointer[weightTable]
	*feed.Followed
}

// weightTable has the weights of addresses by name, in wire form and lower case.
type weightTable struct {
	names map[string]map[netip.Addr]uint8
}

// newWeights makes weights that load reads. While there is no file, all addresses weigh the same.
func newWeights(o Weights, log *slog.Logger) *weights {
	w := &weights{}
	w.table.Store(&weightTable{})
	w.Followed = feed.NewFollowed(o.File, o.Reload, "loadbalance: cannot read the file of weights, keeping the previous ones",
		log, w.take)
	return w
}

func (w *weights) run(ctx context.Context) { w.Run(ctx) }

// take publishes the weights of the file.
func (w *weights) take(file io.Reader, _ time.Time) error {
	content, err := io.ReadAll(file)
	if err != nil {
		return err
	}
	table, err := readWeights(content)
	if err == nil {
		w.table.Store(table)
	}
	return err
}

// draw is the index of an address that is drawn by its weight. One that is not in the table weighs 1.
func (t *weightTable) draw(a *wire.Addresses) int {
	listed, sum := t.names[string(a.Owner.Name())], 0
	if len(listed) == 0 {
		return rand.IntN(a.Len())
	}
	for i := range a.Len() {
		sum += weightOf(listed, a.Address(i))
	}
	at := rand.IntN(sum)
	for i := range a.Len() {
		if at -= weightOf(listed, a.Address(i)); at < 0 {
			return i
		}
	}
	return 0 // not reached
}

func weightOf(listed map[netip.Addr]uint8, packed []byte) int {
	address, _ := netip.AddrFromSlice(packed)
	return int(max(listed[address], 1))
}

// CheckWeights says which line of a file of weights is wrong, and how.
func CheckWeights(content []byte) error {
	_, err := readWeights(content)
	return err
}

// readWeights reads a file of weights: lines of a name, and below each one lines of an address and its weight. Lines that
// begin with # are comments.
func readWeights(content []byte) (*weightTable, error) {
	t := &weightTable{names: map[string]map[netip.Addr]uint8{}}
	var listed map[netip.Addr]uint8 // of the name above; nil before the first
	number := 0
	for line := range bytes.Lines(content) {
		number++
		fields := strings.Fields(string(line))
		var err error
		switch {
		case len(fields) == 0 || fields[0][0] == '#':
		case len(fields) == 1:
			listed, err = t.name(fields[0])
		case len(fields) > 2:
			err = fmt.Errorf("%.60q is neither a name nor an address and its weight", strings.Join(fields, " "))
		case listed == nil:
			err = fmt.Errorf("%.60q stands below no name", fields[0])
		default:
			err = addWeight(listed, fields[0], fields[1])
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
	}
	return t, nil
}

// name is where the weights of a name are.
func (t *weightTable) name(text string) (map[netip.Addr]uint8, error) {
	if _, err := netip.ParseAddr(text); err == nil {
		return nil, fmt.Errorf("%q needs a weight behind it", text)
	}
	name, err := wire.ParseName(text)
	if err != nil {
		return nil, fmt.Errorf("%.60q is no name: %w", text, err)
	}
	q := new(wire.QName)
	q.SetString(string(name))
	key := string(q.Name())
	if t.names[key] == nil {
		t.names[key] = map[netip.Addr]uint8{}
	}
	return t.names[key], nil
}

// addWeight adds a line. The first of several for one address counts.
func addWeight(listed map[netip.Addr]uint8, text, weight string) error {
	address, err := netip.ParseAddr(text)
	if err != nil {
		return fmt.Errorf("%.60q is no address", text)
	}
	n, err := strconv.ParseUint(weight, 10, 8)
	if err != nil || n == 0 {
		return fmt.Errorf("got %.60q, wants a weight from 1 to 255", weight)
	}
	if address = address.Unmap(); listed[address] == 0 {
		listed[address] = uint8(n)
	}
	return nil
}
