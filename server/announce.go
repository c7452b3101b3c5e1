package server

import (
	"fmt"
	"io"
	"runtime"
)

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
	fmt.Fprintf(out, "clusterdns-%s\n%s/%s, %s, %s\n", number, runtime.GOOS, runtime.GOARCH, runtime.Version(), revision)
}
