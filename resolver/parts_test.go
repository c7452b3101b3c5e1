package resolver

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// respond is r's answer to a question.
func respond(t *testing.T, r *Resolver, text string) (string, Source) {
	t.Helper()
	m, source := exchanged(t, r, text)
	return said(m), source
}

// exchanged is the whole message of that answer.
func exchanged(t *testing.T, r *Resolver, text string) (*dns.Msg, Source) {
	t.Helper()
	request := asking(t, text, time.Now())
	if _, result := r.Respond(t.Context(), request, request.Query.Packet, make([]byte, 0, 1232)); result != Send {
		t.Fatalf("result %v", result)
	}
	return finished(t, request), request.Source
}

// TestReloadKeepsForwarders: after a reload that changes other options, an upstream that was down is still down, and
// counters continue.
func TestReloadKeepsForwarders(t *testing.T) {
	up, dead := serve(t, answering("192.0.2.1")), serve(t, mute)
	var parts Parts
	forward := Forward{From: ".", To: []Upstream{{Address: dead.addr}, {Address: up.addr}}, Policy: Sequential,
		MaxFails: 1, HealthCheck: 10 * time.Millisecond, ReadTimeout: time.Second}
	before := running(t, &parts, Block{Zones: []string{"."}, Bufsize: 1232, Forwards: []Forward{forward}})
	respond(t, before, "a.example.org. A")
	count := func(r *Resolver, block int) ForwardCounts { return Counts([]*Resolver{r})[0][block].Forwards[0] }
	until(t, func() bool { return count(before, 0).Upstreams[0].Down })
	after := running(t, &parts,
		Block{Zones: []string{"example.net."}, Bufsize: 4096,
			Forwards: []Forward{{From: ".", To: []Upstream{{Address: up.addr}}}}},
		Block{Zones: []string{"."}, Bufsize: 4096, Rotate: true, Forwards: []Forward{forward}})
	if c := count(after, 1); !c.Upstreams[0].Down || c.Upstreams[0].Failed != 1 {
		t.Errorf("after the reload: %+v", c.Upstreams[0])
	}
	asked := dead.udp.Load()
	if got, _ := respond(t, after, "b.example.org. A"); got != "NOERROR 192.0.2.1" {
		t.Error(got)
	}
	if n := count(after, 1).Upstreams[1].Latencies[0].Total(); n != 2 {
		t.Errorf("%d replies are counted", n)
	}
	for _, q := range dead.questions()[asked:] {
		if q == "b.example.org." {
			t.Error("an upstream that is down is asked again after a reload")
		}
	}
}

// TestReloadKeepsCaches: a reload keeps a cache, even if a new block comes before the one that caches. Another
// listening address has a cache of its own.
func TestReloadKeepsCaches(t *testing.T) {
	up := serve(t, answering("192.0.2.1"))
	var parts Parts
	caching := func() Block {
		return Block{Zones: []string{"."}, Bufsize: 1232, Cache: &Cache{},
			Forwards: []Forward{{From: ".", To: []Upstream{{Address: up.addr}}}}}
	}
	before := running(t, &parts, caching())
	if _, source := respond(t, before, "www.example.org. A"); source != FromForward {
		t.Errorf("first from %v", source)
	}
	other := caching()
	other.Zones = []string{"example.net."}
	after := running(t, &parts, other, caching())
	if _, source := respond(t, after, "www.example.org. A"); source != FromCache {
		t.Errorf("after the reload from %v", source)
	}
}

// TestReloadKeepsHosts: a reload keeps a hosts table while its file is missing.
func TestReloadKeepsHosts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hosts")
	write(t, file, "192.0.2.1 www.example.org\n", 0)
	block := Block{Zones: []string{"."}, Bufsize: 1232, Hosts: &Hosts{File: file, TTL: time.Hour}}
	var parts Parts
	before := running(t, &parts, block)
	if got, _ := respond(t, before, "www.example.org. A"); got != "NOERROR 192.0.2.1" {
		t.Error(got)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	block.Rotate = true
	if got, _ := respond(t, running(t, &parts, block), "www.example.org. A"); got != "NOERROR 192.0.2.1" {
		t.Error("after the reload: " + got)
	}
}

// TestReloadReadsHosts: a reload reads a hosts file that has changed, also with `reload 0`.
func TestReloadReadsHosts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hosts")
	write(t, file, "192.0.2.1 www.example.org\n", time.Hour)
	block := Block{Zones: []string{"."}, Bufsize: 1232, Hosts: &Hosts{File: file, TTL: time.Hour}}
	var parts Parts
	before := running(t, &parts, block)
	write(t, file, "192.0.2.2 www.example.org\n", 0)
	if got, _ := respond(t, before, "www.example.org. A"); got != "NOERROR 192.0.2.1" {
		t.Error("before the reload: " + got)
	}
	block.Rotate = true
	if got, _ := respond(t, running(t, &parts, block), "www.example.org. A"); got != "NOERROR 192.0.2.2" {
		t.Error("after the reload: " + got)
	}
}

// TestReloadOfCertificates: with another certificate in the same file, forwarder and cache are new: a cache that kept
// the old forwarder could not refresh what it has.
func TestReloadOfCertificates(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "cert.pem")
	selfSigned(t, dir, "dns.example.org")
	block := Block{Zones: []string{"."}, Cache: &Cache{ServeStale: time.Hour}, Loop: true, Forwards: []Forward{{From: ".",
		To: []Upstream{{Transport: OverTLS, Address: serve(t, mute).addr}}, ServerName: "dns.example.org", CAFile: file}}}
	var parts Parts
	before, same := running(t, &parts, block).blocks[0], running(t, &parts, block).blocks[0]
	if same.forwarders[0] != before.forwarders[0] || same.cache != before.cache || same.loop != before.loop {
		t.Error("the same file makes another forwarder, cache or loop")
	}
	write(t, file, string(must(os.ReadFile(file)))+"\n", 0)
	after := running(t, &parts, block).blocks[0]
	if after.forwarders[0] == before.forwarders[0] || after.cache == before.cache || after.loop == before.loop {
		t.Error("another file leaves forwarder, cache or loop")
	}
}

// TestPartsEnd: a part that no resolver uses is forgotten and stops.
func TestPartsEnd(t *testing.T) {
	var parts Parts
	t.Run("in use", func(t *testing.T) {
		running(t, &parts, Block{Zones: []string{"."}, Cache: &Cache{}, Loop: true, Hosts: &Hosts{},
			Forwards: []Forward{{From: ".", To: []Upstream{{Address: serve(t, mute).addr}}}}})
		if len(parts.all) != 4 {
			t.Errorf("%d parts", len(parts.all))
		}
	})
	if len(parts.all) != 0 {
		t.Errorf("%d parts are left", len(parts.all))
	}
}

// TestReloadKeepsOtherACLs: an acl that changes begins to count anew, the others of its block go on.
func TestReloadKeepsOtherACLs(t *testing.T) {
	block := func(action ACLAction) Block {
		return Block{Zones: []string{"."}, Bufsize: 1232, ACLs: []ACL{
			{Zones: []string{"a.test."}, Rules: []ACLRule{{Action: ACLBlock}}},
			{Zones: []string{"b.test."}, Rules: []ACLRule{{Action: action}}},
		}}
	}
	var parts Parts
	before := running(t, &parts, block(ACLBlock))
	respond(t, before, "x.a.test. A")
	respond(t, before, "x.b.test. A")
	respond(t, before, "x.test. A")
	counts := *Counts([]*Resolver{running(t, &parts, block(ACLFilter))})[0][0].ACL
	want := ACLCounts{Allowed: 1, Zones: []ACLZoneCounts{{Zone: "a.test.", Blocked: 1}}}
	if !reflect.DeepEqual(counts, want) {
		t.Errorf("got %+v, want %+v", counts, want)
	}
}
