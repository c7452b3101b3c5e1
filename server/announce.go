package server

import (
	"fmt"
	"io"
	"runtime"

	"github.com/clusterdns/clusterdns/resolver"
)

// platform is the second line about a build, as CoreDNS prints it.
func platform(revision string) string {
	return fmt.Sprintf("%s/%s, %s, %s", runtime.GOOS, runtime.GOARCH, runtime.Version(), revision)
}

// announce prints what is served and where, as CoreDNS does at its start.
func (p *Program) announce(out io.Writer, number, revision string) {
	p.mu.Lock()
	c, listeners := p.config, p.listeners
	p.mu.Unlock()
	for i := range c.Listeners {
		for _, address := range c.Listeners[i].Addresses {
			scheme := c.Listeners[i].Scheme
			l := listeners[socket{scheme, address}]
			prefix := ""
			if scheme != resolver.Do53 {
				prefix = string(scheme) + "://"
			}
			where := ""
			if !address.Addr().IsUnspecified() {
				where = " on " + address.Addr().String()
			}
			for _, b := range c.Listeners[i].Blocks {
				for _, zone := range b.Steps.Zones {
					fmt.Fprintf(out, "%s%s:%d%s\n", prefix, zone, l.Address().Port(), where)
				}
			}
		}
	}
	fmt.Fprintf(out, "clusterdns-%s\n%s\n", number, platform(revision))
}
