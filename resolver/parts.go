package resolver

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
)

// Parts keeps what outlives a reload, by the options that it was made from: caches, forwarders with their upstreams, hosts tables, the
// counters of policies. A Resolver points at its parts, and the next one that has the same options goes on with them, with all that they hold
// and have counted. Any number of goroutines may use it; the zero Parts is empty.
type Parts struct {
	mu  sync.Mutex
	all map[string]*part
}

// runner is a part that works in the background. run returns after ctx has ended, and all that it has started.
type runner interface{ run(ctx context.Context) }

// part is a value that resolvers share. A runner runs from the first one's Run to the end of the last one's.
type part struct {
	value  any
	key    string
	users  int
	cancel context.CancelFunc // nil before it runs
	done   chan struct{}
}

// obtain is the part of a kind that was made from options, or the one that create makes. r uses it until release.
func obtain[V any](r *Resolver, kind string, options any, create func() (V, error)) (V, error) {
	var none V
	text, err := json.Marshal(options)
	if err != nil {
		return none, fmt.Errorf("%s: %w", kind, err)
	}
	key := kind + " " + string(text)
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

// start has p run, if it is a runner and does not yet.
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

// release says that one resolver less uses p. The last one forgets it, and waits until it has ended.
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
