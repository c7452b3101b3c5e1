package secondaries

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clusterdns/clusterdns/testdata/programs"
)

// maker is how a name server is run as a secondary of cluster.local and in-addr.arpa. In its texts PORT is where it
// listens, SERVER and PRIMARY are the address and port of the primary, and DIR is a folder of its own.
type maker struct {
	command []string
	before  [][]string // what must be run first
	file    string     // its configuration, in DIR
	text    string
}

var makers = map[string]maker{
	"bind": {
		command: []string{"named", "-g", "-c", "DIR/conf"}, file: "conf",
		text: `options {
	directory "DIR"; pid-file "DIR/pid"; session-keyfile "DIR/key"; managed-keys-directory "DIR";
	listen-on port PORT { 127.0.0.1; }; listen-on-v6 { none; };
	recursion no; notify no; dnssec-validation no; min-retry-time 1; min-refresh-time 1; allow-query { any; };
};
controls { };
zone "cluster.local" { type secondary; primaries port PRIMARY { 127.0.0.1; }; file "cluster.local"; };
zone "in-addr.arpa" { type secondary; primaries port PRIMARY { 127.0.0.1; }; file "in-addr.arpa"; };
`,
	},
	"nsd": {
		command: []string{"nsd", "-d", "-c", "DIR/conf"}, file: "conf",
		text: programs.NSD + `zone:
	name: cluster.local
	zonefile: cluster.local
	allow-notify: 127.0.0.1 NOKEY
	request-xfr: AXFR 127.0.0.1@PRIMARY NOKEY
zone:
	name: in-addr.arpa
	zonefile: in-addr.arpa
	allow-notify: 127.0.0.1 NOKEY
	request-xfr: AXFR 127.0.0.1@PRIMARY NOKEY
`,
	},
	"knot": {
		command: []string{"knotd", "-c", "DIR/conf"}, file: "conf",
		text: programs.Knot + `remote:
  - id: primary
    address: 127.0.0.1@PRIMARY
acl:
  - id: notify
    address: 127.0.0.1
    action: notify
template:
  - id: default
    storage: "DIR"
    master: primary
    acl: notify
zone:
  - domain: cluster.local
  - domain: in-addr.arpa
`,
	},
	"pdns": {
		command: []string{"pdns_server", "--config-dir=DIR"}, file: "pdns.conf",
		before: [][]string{
			{"sh", "-c", "sqlite3 DIR/db < /usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql"},
			{"pdnsutil", "--config-dir=DIR", "create-slave-zone", "cluster.local", "127.0.0.1:PRIMARY"},
			{"pdnsutil", "--config-dir=DIR", "create-slave-zone", "in-addr.arpa", "127.0.0.1:PRIMARY"},
		},
		text: `launch=gsqlite3
gsqlite3-database=DIR/db
secondary=yes
local-address=127.0.0.1
local-port=PORT
socket-dir=DIR
daemon=no
guardian=no
security-poll-suffix=
xfr-cycle-interval=1
cache-ttl=0
query-cache-ttl=0
negquery-cache-ttl=0
zone-cache-refresh-interval=0
`,
	},
	"coredns": {
		command: []string{"COREDNS", "-conf", "DIR/Corefile"}, file: "Corefile",
		text: `cluster.local:PORT in-addr.arpa:PORT {
	bind 127.0.0.1
	secondary {
		transfer from 127.0.0.1:PRIMARY
	}
}
`,
	},
}

// start starts a name server at a port. primary is a port, or an address with one.
func (m maker) start(t *testing.T, name, port, primary string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	host := "127.0.0.1"
	if before, after, ok := strings.Cut(primary, ":"); ok {
		host, primary = before, after
	}
	fill := strings.NewReplacer("DIR", dir, "PORT", port, "SERVER", host, "PRIMARY", primary, "COREDNS", *corednsFlag)
	if err := os.WriteFile(filepath.Join(dir, m.file), []byte(fill.Replace(m.text)), 0o644); err != nil {
		t.Fatal(err)
	}
	filled := func(words []string) []string {
		out := make([]string, len(words))
		for i, w := range words {
			out[i] = fill.Replace(w)
		}
		return out
	}
	for _, words := range m.before {
		words = filled(words)
		if output, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %v\n%s", name, words, err, output)
		}
	}
	programs.Run(t, name, filled(m.command))
}
