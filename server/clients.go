package server

import (
	"net/netip"

	"github.com/clusterdns/clusterdns/server/logs"
	"github.com/clusterdns/clusterdns/zones"
)

// clients says who asks, by the clusters that keep it; nil where none does. Where two of them name different pods, whose
// networks share addresses then, nobody is named.
func (g *generation) clients() logs.Client {
	var indexes []*zones.Index
	for options, s := range g.sources {
		if options.Clients {
			indexes = append(indexes, s.index)
		}
	}
	if indexes == nil {
		return nil
	}
	return func(client netip.Addr) (name string) {
		var m zones.Match
		for _, index := range indexes {
			switch found := index.Snapshot().Client(&m, client); {
			case found == "" || found == name:
			case name != "":
				return ""
			default:
				name = found
			}
		}
		return name
	}
}
