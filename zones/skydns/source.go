package skydns

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// Options is a prefix of etcd and what is made of it.
type Options struct {
	Zones          []string // names at or below these
	Path           string   // default "/skydns"
	Endpoints      []string // URLs, asked one after the other until one answers
	Username       string   // "" for no authentication
	Password       string
	NoApexFallback bool
	MinLease       time.Duration // bounds of a TTL that comes from a lease
	MaxLease       time.Duration
}

// What a source keeps at most.
const (
	MostKeys   = 100_000
	MostOctets = 64 << 20
)

// Pauses between attempts: etcd that is back is to be noticed within seconds.
const (
	shortestPause = 200 * time.Millisecond
	longestPause  = 5 * time.Second
	logPause      = 10 * time.Second // between two lines about it
)

// settle is how long a change waits for others before all are published: names are made anew as a whole.
const settle = 50 * time.Millisecond

var errTooMuch = errors.New("more keys than are kept")

// Source follows a prefix.
type Source struct {
	zones.NamesPlace
	options Options
	zones   []string // in wire form
	client  *client
	log     *slog.Logger

	records map[string]*record // by key below the prefix; for run alone, like what follows
	leases  map[int64]uint32
	octets  int
	over    bool
	took    time.Duration // to make the names

	keys, size, problems atomic.Int64
	connected            atomic.Bool
	complained           map[string]bool // keys, so that it is said once; for run alone
	failing              observe.Limiter
}

// Counts are the figures of a source.
type Counts struct {
	Path      string
	Keys      int // that are held
	Octets    int
	Problems  uint64 // values that are no records, and keys that were left out
	Connected bool
}

// New prepares to follow what o names; nothing is asked before Run. config is for endpoints with https.
func New(o Options, config *tls.Config, log *slog.Logger) (*Source, error) {
	s := &Source{options: o, log: log.With("etcd", strings.Join(o.Endpoints, " ")), leases: map[int64]uint32{},
		complained: map[string]bool{}}
	for _, zone := range o.Zones {
		name, err := wire.ParseName(zone)
		if err != nil {
			return nil, fmt.Errorf("zone %s: %w", zone, err)
		}
		s.zones = append(s.zones, string(name))
	}
	s.client = newClient(&s.options, config)
	return s, nil
}

// Counts are the figures of this moment.
func (s *Source) Counts() Counts {
	return Counts{Path: s.options.Path, Keys: int(s.keys.Load()), Octets: int(s.size.Load()),
		Problems: uint64(s.problems.Load()), Connected: s.connected.Load()}
}

// Run follows the prefix until ctx ends.
func (s *Source) Run(ctx context.Context) {
	pause := shortestPause
	for ctx.Err() == nil {
		began := time.Now()
		err := s.follow(ctx)
		s.connected.Store(false)
		s.client.http.CloseIdleConnections()
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > longestPause {
			pause = shortestPause
		}
		if skipped, ok := s.failing.Allow(time.Now(), logPause); ok {
			s.log.Warn("etcd: cannot be followed, keeping what is known", "error", err, "skipped", skipped)
		}
		s.client.at = (s.client.at + 1) % len(s.options.Endpoints)
		select {
		case <-time.After(pause):
			pause = min(2*pause, longestPause)
		case <-ctx.Done():
		}
	}
}

// follow lists the prefix and then watches it until something fails.
func (s *Source) follow(ctx context.Context) error {
	if err := s.client.authenticate(ctx); err != nil {
		return err
	}
	before := s.records
	oldOctets, oldOver := s.octets, s.over
	s.records, s.octets, s.over = map[string]*record{}, 0, false
	clear(s.leases)
	revision, err := s.client.list(ctx, func(k *keyData) error { return s.put(ctx, k) })
	if err != nil {
		s.records, s.octets, s.over = before, oldOctets, oldOver
		return err
	}
	s.connected.Store(true)
	s.publish()
	ctx, cancel := context.WithCancel(ctx)
	events, ended := make(chan []event), make(chan error, 1)
	var running sync.WaitGroup
	running.Go(func() { ended <- s.client.watch(ctx, revision+1, events) })
	err = s.take(ctx, events, ended)
	cancel()
	running.Wait()
	return err
}

// take publishes what events change, until the watch has ended.
func (s *Source) take(ctx context.Context, events <-chan []event, ended <-chan error) error {
	var due <-chan time.Time
	var failed error
	for {
		select {
		case list := <-events:
			for i := range list {
				if err := s.apply(ctx, &list[i]); err != nil {
					failed = err // the rest is taken from a new list
				}
			}
			if due == nil && len(list) > 0 {
				due = time.After(max(settle, 4*s.took))
			}
		case <-due:
			due = nil
			s.publish()
		case err := <-ended:
			if due != nil {
				s.publish()
			}
			return err
		}
		if failed != nil {
			return failed
		}
	}
}

func (s *Source) apply(ctx context.Context, e *event) error {
	if e.Type == "DELETE" {
		s.drop(strings.TrimPrefix(string(e.KV.Key), s.options.prefix()))
		return nil
	}
	return s.put(ctx, &e.KV)
}

// put takes the value of a key. A value that is no record takes the place of one that was.
func (s *Source) put(ctx context.Context, k *keyData) error {
	key := strings.TrimPrefix(string(k.Key), s.options.prefix())
	s.drop(key)
	r, err := parse(key, k.Value)
	if err == nil && (len(s.records) >= MostKeys || s.octets+r.size > MostOctets) {
		err, s.over = errTooMuch, true
	}
	if err != nil {
		s.problem(key, err)
		return nil
	}
	if k.Lease != 0 {
		if r.lease, err = s.lease(ctx, k.Lease); err != nil {
			return err
		}
	}
	s.records[key] = r
	s.octets += r.size
	return nil
}

func (s *Source) drop(key string) {
	if r := s.records[key]; r != nil {
		delete(s.records, key)
		s.octets -= r.size
	}
}

// lease is the TTL that a lease gives to records: what it was granted for, within bounds.
func (s *Source) lease(ctx context.Context, id int64) (uint32, error) {
	if ttl, ok := s.leases[id]; ok {
		return ttl, nil
	}
	granted, err := s.client.granted(ctx, id)
	if err != nil {
		return 0, err
	}
	least, most := int64(s.options.MinLease.Seconds()), int64(s.options.MaxLease.Seconds())
	s.leases[id] = uint32(min(max(granted, least), most))
	return s.leases[id], nil
}

// mostComplaints is about how many keys are complained about by name; the others are counted.
const mostComplaints = 100

func (s *Source) problem(key string, err error) {
	s.problems.Add(1)
	if len(s.complained) < mostComplaints && !s.complained[key] {
		s.complained[key] = true
		s.log.Warn("etcd: key passed over", "key", s.options.prefix()+key, "error", err)
	}
}

// publish makes the names of all records.
func (s *Source) publish() {
	began := time.Now()
	n := compile(s.records, s.zones, s.options.NoApexFallback)
	n.Partial = s.over
	n.Serial = uint32(began.Unix())
	if old := s.Names(); old != nil {
		n.Serial = max(n.Serial, old.Serial+1)
	}
	s.took = time.Since(began)
	s.keys.Store(int64(len(s.records)))
	s.size.Store(int64(s.octets))
	s.Publish(n)
}
