package programs

import "strings"

// Knot and NSD are the parts of the configuration of Knot DNS and NSD that say where one listens, PORT of loopback, and
// what it keeps where, DIR.
const (
	Knot = `server:
    rundir: "DIR"
    listen: 127.0.0.1@PORT
    udp-workers: 1
    tcp-workers: 1
    background-workers: 2
database:
    storage: "DIR"
    journal-db-max-size: 16M
    kasp-db-max-size: 16M
    timer-db-max-size: 16M
`
	NSD = `server:
	ip-address: 127.0.0.1@PORT
	server-count: 1
	zonesdir: "DIR"
	database: ""
	pidfile: "DIR/pid"
	xfrdfile: "DIR/xfrd"
	xfrdir: "DIR"
	zonelistfile: "DIR/zones"
	username: ""
	xfrd-reload-timeout: 0
remote-control:
	control-enable: no
`
)

// Fill fills words of a text or command with values: "DIR", dir, "PORT", port.
func Fill(text string, wordsAndValues ...string) string {
	return strings.NewReplacer(wordsAndValues...).Replace(text)
}
