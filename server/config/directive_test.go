package config

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/clusterdns/clusterdns/watch"
)

// everything uses each directive that is served.
const everything = `example.org {
    acl
    any
    auto {
        directory zones
    }
    autopath @kubernetes
    bind 127.0.0.1
    bufsize 1232
    cache
    cancel
    chaos
    dashboard
    debug
    dns64
    dnssec {
        key file zone
    }
    dnstap /run/dnstap.sock
    erratic
    errors
    file db.example
    etcd
    forward . 192.0.2.1
    header {
        response set ra
    }
    grpc . 192.0.2.1
    health
    hosts
    k8s_external
    k8s_gateway
    kubernetes
    loadbalance
    local
    local_address 169.254.20.10
    log
    loop
    metadata
    minimal
    nsid
    pprof
    prometheus
    proxy . 192.0.2.1
    ready
    reload
    rewrite name a b
    root zones
    shadow 192.0.2.1
    search
    secondary {
        transfer from 192.0.2.1
    }
    template ANY ANY example.net
    whoami
    transfer {
        to *
    }
    tls crt.pem key.pem
    trace
    timeouts {
        read 3s
    }
    https
    https3
    quic
    grpc_server
    multisocket
    view all
}
`

// TestEnabled: coredns_plugin_enabled names what CoreDNS 1.15.0 names for the same block, without proxy, which it has
// no more.
func TestEnabled(t *testing.T) {
	for _, name := range Directives() {
		if !strings.Contains(everything, "\n    "+name) {
			t.Errorf("%s is not in the Corefile", name)
		}
	}
	uncounted := []string{"bind", "dashboard", "debug", "grpc_server", "health", "https", "https3", "local_address", "multisocket",
		"pprof", "proxy", "quic", "ready", "reload", "root", "timeouts", "tls"}
	want := slices.DeleteFunc(Directives(), func(name string) bool { return slices.Contains(uncounted, name) })
	if got := enabled(t, everything); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := enabled(t, "example.org {\n debug\n ready\n}\n"); len(got) > 0 {
		t.Errorf("got %q, want nothing", got)
	}
}

func enabled(t *testing.T, corefile string) []string {
	t.Helper()
	files, err := txtar.ParseFile(corefiles + "tls.txtar") // for its certificate
	if err != nil {
		t.Fatal(err)
	}
	files.Files = append(files.Files, keyFiles(t, "zones/zone")...)
	c, err := island(t, files).parse("Corefile", []byte(corefile), Settings{Port: 53})
	if err != nil {
		t.Fatal(err)
	}
	names := c.Listeners[0].Blocks[0].Enabled()
	slices.Sort(names)
	return names
}

// keyFiles is a key of example.org under a name.
func keyFiles(t *testing.T, name string) (files []txtar.File) {
	t.Helper()
	keys, err := txtar.ParseFile(corefiles + "dnssec.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range keys.Files {
		if half, is := strings.CutPrefix(f.Name, "zsk."); is { // of example.test there
			data := bytes.Replace(f.Data, []byte("example.test."), []byte("example.org."), 1)
			files = append(files, txtar.File{Name: name + "." + half, Data: data})
		}
	}
	return files
}

// TestTable: each directive has one row.
func TestTable(t *testing.T) {
	names := namesOf(directives())
	slices.Sort(names)
	if all := slices.Compact(slices.Clone(names)); len(all) != len(names) {
		t.Errorf("a directive has two rows: %q", names)
	}
}

// TestSharedSources: blocks that differ in what k8s_external, metadata and search need of their cluster share one watch.
func TestSharedSources(t *testing.T) {
	const corefile = "a.example {\n kubernetes a.example\n}\n" +
		"b.example {\n kubernetes b.example\n k8s_external x.b.example {\n headless\n }\n}\n" +
		"c.example {\n kubernetes c.example {\n noendpoints\n }\n}\n" +
		"d.example {\n kubernetes d.example {\n pods verified\n }\n}\n" +
		"e.example {\n kubernetes e.example {\n pods verified\n }\n metadata\n}\n" +
		"f.example {\n kubernetes f.example\n metadata\n}\n" +
		"g.example {\n kubernetes g.example\n search\n}\n"
	c, err := island(t, &txtar.Archive{}).parse("Corefile", []byte(corefile), Settings{Port: 53})
	if err != nil {
		t.Fatal(err)
	}
	var got []watch.Options
	for _, b := range c.Listeners[0].Blocks {
		got = append(got, b.Sources[0].Objects)
	}
	if got[0] != got[1] || !got[0].External || !got[0].ExternalHeadless || got[2].External {
		t.Errorf("got %+v", got)
	}
	if got[3] != got[4] || !got[3].PodDetails || got[0] != got[5] || got[5].PodDetails {
		t.Errorf("got %+v", got[3:])
	}
	if got[0] != got[6] || !got[6].Who || got[2].Who || got[3].Who {
		t.Errorf("got %+v", got)
	}
}
