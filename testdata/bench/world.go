//go:build linux

package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"
)

// worldKey is what two worlds differ by.
type worldKey struct {
	size  int  // services; 0 is no cluster
	quiet bool // the API server does not stream lists
}

// world is an API server with a cluster in it, and the servers that serve that cluster.
type world struct {
	worldKey
	dir       string
	apiserver *process
	wide      bool // it has services of 40 and 200 addresses too
	servers   map[*peer]*server
}

// world starts a world, or returns the one that runs.
func (b *bench) world(key worldKey) (*world, error) {
	if w := b.worlds[key]; w != nil {
		return w, nil
	}
	dir, err := os.MkdirTemp(b.dir, "world")
	if err != nil {
		return nil, err
	}
	w := &world{worldKey: key, dir: dir, servers: map[*peer]*server{}}
	b.worlds[key] = w
	if key.size == 0 {
		return w, nil
	}
	b.say("an API server with %d services", key.size)
	if err := b.startAPIServer(w); err != nil {
		return nil, err
	}
	_, err = b.output("", b.paths["load"], "-dir", dir, "-services", fmt.Sprint(key.size))
	return w, err
}

// startAPIServer starts the API server, again after it was killed: with the objects and the address that it had.
func (b *bench) startAPIServer(w *world) (err error) {
	args := []string{"-dir", w.dir}
	if w.quiet {
		args = append(args, "-feature-gates", "WatchList=false")
	}
	if w.apiserver, err = b.start("apiserver", b.paths["apiserver"], args...); err != nil {
		return err
	}
	return b.await(w.apiserver, 2*time.Minute, "the API server", w.apiserver.saidReady)
}

func (w *world) kubeconfig() string { return filepath.Join(w.dir, "kubeconfig") }

// addWide writes the services of 40 and 200 addresses, and the pod from which load comes. They are not there for the rows about memory, whose figures are of a
// cluster of a stated size.
func (b *bench) addWide(w *world) error {
	if w.wide || w.size == 0 {
		return nil
	}
	w.wide = true
	if _, err := b.output("", b.paths["load"], "-dir", w.dir, "-wide"); err != nil {
		return err
	}
	_, err := b.output("", b.paths["load"], "-dir", w.dir, "-client", "127.0.0.1")
	return err
}

// server returns the server of a peer in the world, which is started if it does not run.
func (b *bench) server(w *world, p *peer) (*server, error) {
	if s := w.servers[p]; s != nil {
		return s, nil
	}
	s, err := b.startServer(w, p)
	if err == nil {
		w.servers[p] = s
	}
	return s, err
}

// startServer starts one that is not kept.
func (b *bench) startServer(w *world, p *peer) (*server, error) {
	s := &server{peer: p, world: w}
	if err := b.freePorts(&s.port); err != nil {
		return nil, err
	}
	began := time.Now()
	if err := p.start(b, s); err != nil {
		return nil, err
	}
	s.ready = time.Since(began)
	return s, nil
}

// closeUnused ends the worlds that no row needs any more.
func (b *bench) closeUnused(left []row) {
	needed := map[worldKey]bool{}
	for _, r := range left {
		for _, key := range r.worlds(b.size) {
			needed[key] = true
		}
	}
	for key, w := range b.worlds {
		if !needed[key] {
			w.close()
			delete(b.worlds, key)
		}
	}
}

// worlds is what a row needs.
func (r row) worlds(size int) (keys []worldKey) {
	for _, size := range r.sizes {
		keys = append(keys, worldKey{size, r.quiet})
	}
	return keys
}

func (w *world) close() {
	for s := range maps.Values(w.servers) {
		s.process.stop()
	}
	if w.apiserver != nil {
		w.apiserver.stop()
	}
	os.RemoveAll(w.dir)
}
