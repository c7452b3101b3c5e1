package server

import (
	"fmt"

	"github.com/clusterdns/clusterdns/observe/shadow"
	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/server/admin"
	"github.com/clusterdns/clusterdns/server/config"
	"github.com/clusterdns/clusterdns/server/listen"
	"github.com/clusterdns/clusterdns/watch"
)

// someFiles is how many descriptors are open whatever clients do: logs, the watch, files that are read again.
const someFiles = 64

// descriptors is how many descriptors a program that serves c has open when all its bounds are reached: a socket for
// each question that upstream is asked, and the connections of clients.
func descriptors(c *config.Config) int {
	o := listen.Defaults()
	n := someFiles + resolver.MaxAsked
	for i := range c.Listeners {
		n += len(c.Listeners[i].Addresses) * (o.Readers + 1 + o.Streams + listen.MaxTransfers)
		for j := range c.Listeners[i].Blocks {
			if c.Listeners[i].Blocks[j].Steps.Shadow != nil {
				n += shadow.MostAsked + shadow.MostLate
			}
			for _, from := range c.Listeners[i].Blocks[j].Sources {
				if from.Objects.Snapshot.Peers.Listen != "" {
					n += watch.PeerConns
				}
			}
		}
	}
	e := endpointsOf(c)
	return n + admin.MaxConns*(len(e.Health)+len(e.Ready)+len(e.Prometheus)+len(e.Pprof))
}

// fewDescriptors warns when limit, that of the process, is less than c may need; "" when it is enough. By then Go has
// raised the soft limit to the hard one.
func fewDescriptors(c *config.Config, limit uint64) string {
	needed := descriptors(c)
	if uint64(needed) <= limit {
		return ""
	}
	return fmt.Sprintf("server: this process may open %d files and sockets (RLIMIT_NOFILE), and %d when all bounds "+
		"are reached: queries would fail then; raise the hard limit (ulimit -Hn, LimitNOFILE of systemd, the container "+
		"runtime)",
		limit, needed)
}
