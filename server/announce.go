package server

import (
	"fmt"
	"io"
	"runtime"
)

// announce prints what is served and where, as CoreDNS does at its start.
func (p *Program) announce(out io.Writer, number, revision string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.config.Listeners {
		for _, address := range p.config.Listeners[i].Addresses {
			l := p.listeners[address]
			where := ""
			if !address.Addr().IsUnspecified() {
				where = " on " + address.Addr().String()
			}
			for _, b := range p.config.Listeners[i].Blocks {
				for _, zone := range b.Steps.Zones {
					fmt.Fprintf(out, "%s:%d%s\n", zone, l.Address().Port(), where)
				}
			}
		}
	}
	fmt.Fprintf(out, "clusterdns-%s\n%s/%s, %s, %s\n", number, runtime.GOOS, runtime.GOARCH, runtime.Version(), revision)
}
