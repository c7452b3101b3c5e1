package watch

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
)

// publish compiles what is dirty and publishes it in one step. Until services, slices and namespaces have all been read
// once, their names wait: what is half known is not compiled.
func (s *state) publish(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.serial != 0 {
		s.index.Continue(s.serial)
		s.serial = 0
	}
	s.publishHosts(now) // before the index says that all has been read
	changed := s.index.Update(now, func(tx *zones.Tx) {
		s.publishNamespaces(tx)
		if (s.synced|s.restored)&zones.ServiceKinds == zones.ServiceKinds { // compiled, whether or not it is shown yet
			s.publishServices(tx)
		}
		s.publishPods(tx)
		s.publishClaims(tx)
		s.publishNodes(tx, now)
		s.publishOver(tx)
		s.publishStale(tx)
	})
	if changed {
		s.counters.Published++
	}
	s.announce(now)
	if s.snapshots != nil {
		s.snapshots.published()
	}
}

// announce says once that an API server has been read, and how much there is. A folder of manifests has a line of its
// own.
func (s *state) announce(now time.Time) {
	required := s.options.Required()
	if s.ready || s.options.Manifests != "" || s.synced&required != required {
		return
	}
	s.ready = true
	services, endpoints := s.sizes()
	text := fmt.Sprintf("%d services, %d endpoints, %d namespaces", services, endpoints, s.namespaces.len())
	if s.options.VerifyPods {
		text += fmt.Sprintf(", %d pods", s.pods.len())
	}
	s.log.Info(fmt.Sprintf("kubernetes: ready: %s in %.1f s", text, now.Sub(s.started).Seconds()))
}

// sizes is how many services and endpoints there are.
func (s *state) sizes() (services, endpoints int) {
	for _, slice := range s.slices.byKey {
		endpoints += slice.Endpoints.Count() + slice.Unready
	}
	return s.services.len(), endpoints
}

// loggedChanges bounds how many lines one edit of manifests writes into the log.
const loggedChanges = 20

// logChanges says what an edit of manifests has changed. Of an API server it would be too much.
func (s *state) logChanges(before *zones.Snapshot) {
	if s.options.Manifests == "" || !before.Synced(zones.ServiceKinds) {
		return
	}
	lines, more := zones.Changes(before, s.index.Snapshot(), loggedChanges)
	for _, line := range lines {
		s.log.Info(line)
	}
	if more > 0 {
		s.log.Info(fmt.Sprintf("and %d more", more))
	}
}

// publishNamespaces makes namespaces exist or not. When a namespace appears or its labels change, a selector may show
// or hide its services.
func (s *state) publishNamespaces(tx *zones.Tx) {
	for name := range s.dirtySpace {
		n := s.namespace(name)
		tx.SetNamespace(name, n != nil && s.shows(name) && !s.toplevel.refuses(name))
		s.publishRefused(tx, name)
		sees, shown := s.visibilityOf(n)
		tx.SetVisibility(name, sees, shown)
	}
	if s.selector != nil && len(s.dirtySpace) > 0 {
		for k := range s.services.byKey {
			if _, ok := s.dirtySpace[k.Namespace]; ok {
				s.dirty[k] = struct{}{}
			}
		}
	}
	clear(s.dirtySpace)
}

func (s *state) publishServices(tx *zones.Tx) {
	var list []compiled
	for k := range s.dirty {
		n := s.services.byKey[k]
		if n == nil || !s.shows(k.Namespace) {
			s.toplevel.set(k, 0)
			s.publishRefused(tx, k.Namespace)
			s.dropRecords(tx, k)
			continue
		}
		refused, nameless := s.guard(k)
		if refused {
			s.publishRefused(tx, k.Namespace)
			s.dropRecords(tx, k)
			continue
		}
		list = append(list, compiled{service: n, nameless: nameless})
	}
	s.compileAll(list)
	for _, c := range list {
		k := c.service.Key
		if c.err != nil {
			s.complain([]object.Problem{{Kind: "service", Key: k, Words: c.err.Error()}})
		}
		if c.records != nil { // else the last good state stays
			s.publishRecords(tx, k, c.records)
		}
		if s.options.External {
			s.publishExternal(tx, c.service)
		}
	}
	if len(s.dirty) > 1000 {
		s.dirty = map[object.Key]struct{}{} // a map never shrinks: do not keep a full rebuild's
		s.builder = zones.Builder{}
		s.tidy()
	} else {
		clear(s.dirty)
	}
}

// compiled is a service, and what compile makes of it.
type compiled struct {
	service  *object.Service
	nameless bool
	records  *zones.ServiceRecords
	err      error
}

// batch is how many services a goroutine compiles at a time.
const batch = 256

// compileAll compiles services, each from its own objects alone: a whole cluster's on all processors.
func (s *state) compileAll(list []compiled) {
	each := func(b *zones.Builder, list []compiled) {
		for i := range list {
			c := &list[i]
			if c.nameless {
				c.records, c.err = compileRefused(b, c.service)
			} else {
				c.records, c.err = compile(b, c.service, s.byService[c.service.Key], s.options)
			}
		}
	}
	if len(list) < 2*batch {
		each(&s.builder, list)
		return
	}
	var next atomic.Int64
	var running sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(list)/batch) {
		running.Go(func() {
			var b zones.Builder
			for {
				end := int(next.Add(batch))
				if end-batch >= len(list) {
					return
				}
				each(&b, list[end-batch:min(end, len(list))])
			}
		})
	}
	running.Wait()
}

// tidy says that much garbage has been left.
func (s *state) tidy() {
	select {
	case s.listed <- struct{}{}:
	default:
	}
}

func (s *state) publishPods(tx *zones.Tx) {
	for _, c := range s.dirtyPods {
		for _, addr := range c.pod.Addrs {
			p := zones.LivePod{Namespace: c.pod.Namespace, Addr: addr, Host: c.pod.Host, Started: c.pod.Started,
				Place: c.pod.Place, Details: c.pod.Details}
			if c.gone {
				tx.DropPod(p)
			} else {
				tx.AddPod(p)
			}
		}
	}
	s.dirtyPods = nil
}
