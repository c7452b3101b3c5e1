//go:build linux

package main

import (
	"fmt"
	"time"
)

// updateRate is how many slices a second change in the rows about updates.
const updateRate = 500

// flipping is the name of an endpoint that comes and goes.
const flipping = "store-00000-headless-0.store-00000-headless.team-00.svc.cluster.local."

// startUpdates has slices change, and returns when all servers follow.
func (b *bench) startUpdates(r row, servers []*server) (stop func(), err error) {
	w := servers[len(servers)-1].world
	p, err := b.start("updates", b.paths["load"], "-dir", w.dir, "-services", fmt.Sprint(w.size), "-updates", fmt.Sprint(updateRate))
	if err != nil {
		return nil, err
	}
	if err := b.await(p, time.Minute, "updates", p.saidReady); err != nil {
		p.stop()
		return nil, err
	}
	for _, s := range servers {
		if s.peer.name == "echo" {
			continue
		}
		if err := b.awaitFlips(p, s); err != nil {
			p.stop()
			return nil, err
		}
	}
	return p.stop, nil
}

// awaitFlips waits until a server has been seen to follow the updates: the name there, away, and there again. Each question is
// for another type, because CoreDNS answers a repeated one from its cache.
func (b *bench) awaitFlips(updates *process, s *server) error {
	seen, last, qtype := 0, -1, uint16(1000) // no type begins there that means something
	return b.await(updates, time.Minute, s.peer.name+" to follow them", func() bool {
		reply, err := ask(s, question{flipping, qtype}.message(true), false)
		if qtype++; err == nil && reply.Rcode != last {
			seen, last = seen+1, reply.Rcode
		}
		return seen > 2
	})
}
