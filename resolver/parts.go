package resolver

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/clusterdns/clusterdns/zones/feed"
)

// Parts keeps what outlives a reload, keyed by the options it was made from: caches, forwarders with the health of
// their upstreams, hosts tables, the counters of acl and dns64, loop detection. A Resolver refers to its parts, and the
// next Resolver with equal options takes them over with all that they hold and have counted. Any number of goroutines
// may use it; the zero Parts is empty.
type Parts struct {
	mu    sync.Mutex
	all   map[string]*part
	asked asked // of all forwarders

	incoming feed.Gate // of all secondaries
}

// runner is a part that works in the background. run returns when ctx has ended and everything that it started has too.
type runner interface{ run(ctx context.Context) }

// part is a value that resolvers share. A runner runs from the first Resolver's Run until the last Resolver releases
// it.
type part struct {
	value  any
	key    string
	users  int
	cancel context.CancelFunc // nil before it runs
	done   chan struct{}
}

// obtain returns the part of that kind made from equal options, or makes one with create. r holds it until release.
func obtain[V any](r *Resolver, kind string, options any, create func() (V, error)) (V, error) {
	var none V
	text, err := json.Marshal(options)
	if err != nil {
		return none, fmt.Errorf("%s: %w", kind, err)
	}
	sum := sha256.Sum256(text) // options hold private keys, too
	key := kind + " " + string(sum[:])
	a := r.parts
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.all[key]
	if p == nil {
		value, err := create()
		if err != nil {
			return none, err
		}
		p = &part{value: value, key: key}
		if a.all == nil {
			a.all = map[string]*part{}
		}
		a.all[key] = p
	}
	p.users++
	r.used = append(r.used, p)
	return p.value.(V), nil
}

// start runs p, if it is a runner that does not run yet.
func (a *Parts) start(p *part) {
	a.mu.Lock()
	defer a.mu.Unlock()
	run, ok := p.value.(runner)
	if !ok || p.cancel != nil {
		return
	}
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(context.Background())
	p.done = make(chan struct{})
	go func() {
		defer close(p.done)
		run.run(ctx)
	}()
}

// release gives up one use of p. When it was the last, release forgets p and waits until it has stopped.
func (a *Parts) release(p *part) {
	a.mu.Lock()
	p.users--
	last := p.users == 0
	if last {
		delete(a.all, p.key)
	}
	cancel := p.cancel
	a.mu.Unlock()
	if last && cancel != nil {
		cancel()
		<-p.done
	}
}
