package server

import (
	"fmt"
	"io"
	"runtime"
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
			l := listeners[address]
			where := ""
			if !address.Addr().IsUnspecified() {
				where = " on " + address.Addr().String()
			}
			for _, b := range c.Listeners[i].Blocks {
				for _, zone := range b.Steps.Zones {
					fmt.Fprintf(out, "%s:%d%s\n", zone, l.Address().Port(), where)
				}
			}
		}
	}
	fmt.Fprintf(out, "clusterdns-%s\n%s\n", number, platform(revision))
}
