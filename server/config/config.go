// Package config turns flags, environment and a Corefile into one validated Config.
//
// The package serves nothing: it reads files and says what they mean, or which line is wrong. A Config never changes
// after Parse has returned it, so any number of goroutines may read it.
package config

import (
	"crypto/tls"
	"net/netip"
	"time"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/server/device"
	"github.com/clusterdns/clusterdns/server/logs"
	"github.com/clusterdns/clusterdns/watch"
)

// Config is the meaning of a Corefile. Addresses of HTTP endpoints are "host:port" as net.Listen takes them, each once
// and in the order of the file; an endpoint without addresses is off.
type Config struct {
	Listeners  []Listener
	Health     Health
	Ready      Ready
	Prometheus Prometheus
	Pprof      Pprof
	Dashboard  Dashboard
	Reload     Reload

	// LocalAddresses are given to the machine before the program listens, and taken away at its end.
	LocalAddresses []LocalAddress

	EndpointAt map[string]string // "file:line: directive" that first names the address of an HTTP endpoint

	Warnings []string // each begins with file:line

	Files []File // the Corefile and what it imports, in the order that they were read

	// Digest is the SHA-512 of the words of all files, in hexadecimal. Comments and spaces do not change it.
	Digest string

	// Empty says where there is a file without a server block; "" when it has one. A program starts with such a file,
	// and does not give up a configuration for it: it may be half written.
	Empty string
}

// Listener is a group of addresses that serve the same blocks, so that one resolver answers for all of them.
type Listener struct {
	Scheme    resolver.Scheme
	TLS       *TLS             // nil for Do53, and where a proxy in front has the certificate
	Addresses []netip.AddrPort // [::] stands for all addresses of both families, 0.0.0.0 for those of IPv4
	Limits    Limits
	Blocks    []Block
}

// TLS is the certificate of a listener, and what it wants of its clients'.
type TLS struct {
	CertFile   string
	KeyFile    string
	CAFile     string // the authorities of clients; "" for those of the system
	ClientAuth tls.ClientAuthType
}

// Block is one server block with what the server does around its answers. A block of several ports appears in several
// listeners, each time with the zones of that port.
type Block struct {
	At         string                     // file:line of its first zone
	Steps      resolver.Block             // Kubernetes[i].Index and MultiIndex are nil: the server fills them by Sources[i]
	Sources    []Source                   // one for each of Steps.Kubernetes
	Gateways   []Source                   // one for each of Steps.Gateways
	Errors     *logs.Errors               // nil without `errors`
	Log        []logs.Log                 // none without `log`; the first whose Zone the qname is in decides
	Debug      bool                       // debug: a panic is not recovered, debug lines are logged
	Prometheus string                     // the endpoint that its metrics belong to; "" when it is not measured
	TLS        *TLS                       // nil without `tls`
	Limits     Limits                     // of `timeouts` and `multisocket`
	Bounds     map[resolver.Scheme]Limits // of `https`, `https3`, `quic` and `grpc_server`
	Ready      bool                       // its sources count for the ready endpoint
}

// Source says where the objects of one kubernetes directive come from. Directives with equal options share an index.
type Source struct {
	At             string        // file:line of the directive
	Objects        watch.Options // of Kubernetes.Index
	Imports        watch.Options // of Kubernetes.MultiIndex; zero without multicluster zones
	StartupTimeout time.Duration // how long a reload waits for the first sync; default watch.StartupTimeout
}

// Health is the endpoint /health.
type Health struct {
	Addresses []string      // default ":8080"
	Lameduck  time.Duration // how long the server goes on answering after SIGTERM; default 0
}

// Ready is the endpoint /ready.
type Ready struct {
	Addresses    []string // default ":8181"
	Continuously bool     // monitor continuously: what was ready once may become unready again
}

// Prometheus is the endpoint /metrics.
type Prometheus struct {
	Addresses      []string // default "localhost:9153"
	RuntimeMetrics bool     // runtime_metrics: all of Go's runtime/metrics
}

// Pprof is the endpoint /debug/pprof.
type Pprof struct {
	Addresses []string // default "localhost:6053"
	BlockRate int      // for runtime.SetBlockProfileRate; 0 off, default 1 when on
}

// Dashboard is the page for people.
type Dashboard struct {
	Addresses []string // default "127.0.0.1:1054"
	Hosts     []string // names that a browser may ask for, besides localhost and addresses, in lower case
}

// LocalAddress is an address that the machine is given.
type LocalAddress struct {
	device.Address
	At string // file:line of the directive
}

// File is a file of the Corefile as it was read, with its secrets masked.
type File struct{ Name, Text string }

// Reload says how often the files are checked for changes.
type Reload struct {
	Interval time.Duration // default 30 s, at least 2 s; 0 without `reload`: only on SIGUSR1
	Jitter   time.Duration // each interval is Interval ± half of Jitter; default 15 s, at most half of Interval
}
