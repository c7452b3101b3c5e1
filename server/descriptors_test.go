package server

import (
	"strings"
	"testing"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/server/admin"
	"github.com/clusterdns/clusterdns/server/config"
	"github.com/clusterdns/clusterdns/server/listen"
	"github.com/clusterdns/clusterdns/watch"
)

// TestFewDescriptors: the warning comes exactly when the limit is below what the bounds add up to, for all addresses
// and endpoints.
func TestFewDescriptors(t *testing.T) {
	parse := func(corefile string) *config.Config {
		c, err := config.Parse("Corefile", []byte(corefile), config.Settings{Port: 53})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	o := listen.Defaults()
	one, two := descriptors(parse(". {\n}\n")), descriptors(parse(". {\n bind 127.0.0.1 127.0.0.2\n health\n ready\n}\n"))
	each := o.Streams + listen.MaxTransfers + o.Readers + 1
	if one != someFiles+resolver.MaxAsked+each || two != someFiles+resolver.MaxAsked+2*each+2*admin.MaxConns {
		t.Errorf("%d for one address, %d for two and two endpoints; one takes %d", one, two, each)
	}
	c := parse(". {\n}\n")
	if text := fewDescriptors(c, uint64(one)); text != "" {
		t.Error(text)
	}
	if text := fewDescriptors(c, uint64(one)-1); !strings.Contains(text, "RLIMIT_NOFILE") {
		t.Errorf("got %q", text)
	}
	gives := watch.Options{Snapshot: watch.SnapshotFile{Peers: watch.Peers{Listen: ":9154"}}}
	c.Listeners[0].Blocks[0].Sources = []config.Source{{Objects: gives}}
	if n := descriptors(c); n != one+watch.PeerConns {
		t.Errorf("%d with peers, and %d without", n, one)
	}
}
