package resolver

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/clusterdns/clusterdns/observe/shadow"
	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/skydns"
)

// Defaults of options, for fields left zero here and for the reader of the Corefile.
const (
	// DefaultBufsize is the largest UDP message in octets that no network has to fragment, RFC 9715 section 3. It limits
	// what is forwarded, which has crossed networks that may lose or forge fragments.
	DefaultBufsize = 1232
	// MostBufsize is the largest UDP reply in octets about zones of ours. It crosses the pod network alone, which
	// reassembles fragments, and some clients ask over UDP alone.
	MostBufsize = 4096
	// DefaultCapacity is the entries of each half of a cache, as in CoreDNS.
	DefaultCapacity = 9984
	// DefaultSuccessTTL and DefaultDenialTTL cap the TTLs in the halves of a cache, as in CoreDNS.
	DefaultSuccessTTL = time.Hour
	DefaultDenialTTL  = 30 * time.Minute
	// DefaultReadTimeout is how long one attempt waits for an upstream, and DefaultExpire how long a connection to it
	// may be idle, as in CoreDNS.
	DefaultReadTimeout = 2 * time.Second
	DefaultExpire      = 10 * time.Second
)

// Options configures one resolver: the server blocks that share a listening address. All names are fully qualified and
// in lower case, such as "cluster.local.".
type Options struct {
	Server string // the address as a metrics label; caches and counters outlive a reload while it stays the same
	Blocks []Block
}

// Block is one server block of the Corefile. (*block).compileSteps gives the order in which its directives run.
type Block struct {
	Zones       []string // the block serves queries at and below these names; the longest match over all blocks wins
	View        *View
	Metadata    *Metadata
	Bufsize     uint16        // largest UDP message in octets, 512-4096; 0 for MostBufsize, and DefaultBufsize for what is forwarded
	Cancel      time.Duration // cancel: how long a query may take in all; 0 for no bound
	Dnssec      *Dnssec
	Rotate      bool           // loadbalance: A, AAAA and MX records start at another one in each reply, by chance
	Prefer      []netip.Prefix // loadbalance: then those in the first of these come first, and so on
	Weights     *Weights       // loadbalance: the address that comes first is drawn by its weight
	Local       *Local
	NSID        string // nsid: identifies the server to clients who ask, at most 255 octets; "" for none
	DNS64       *DNS64
	Any         bool // any: questions for any type get a HINFO record
	Chaos       *Chaos
	Rewrites    []Rewrite // in the order of the file
	Autopath    *Autopath
	Search      *Search
	ACLs        []ACL // in the order of the file
	Header      *Header
	Minimal     bool       // minimal: positive answers have an answer section alone
	Templates   []Template // in the order of the file
	Hosts       *Hosts
	Externals   []External // of the first of Kubernetes
	Gateways    []Gateway
	Kubernetes  []Kubernetes
	Files       []ZoneFile // of a zone in several the last one counts
	Folders     []ZoneFolder
	Secondaries []Secondary
	Etcd        []Etcd
	Transfers   []ZoneTransfer
	Cache       *Cache
	Loop        bool // loop: probe for a forwarding loop
	Forwards    []Forward
	Onward      Fallthrough // of grpc, the last of Forwards: from upstreams that deny a name or do not answer
	Erratic     *Erratic
	Whoami      bool // whoami: what nothing else takes is answered with the client's address and port
	Dnstaps     []Dnstap
	Shadow      *shadow.Options
	Trace       *Trace
	Errors      *slog.Logger // logs failed queries at level error; nil for no log
}

// Fallthrough says which names go on to the next step when this one has none. The zero value is "none".
type Fallthrough struct {
	Zones []string // names at or below these; "." is all
}

// View says which queries a block answers, where several have the same zone. Of these the first whose view matches
// answers; without one, the block of the next shorter zone.
type View struct {
	Name        string   // in metrics
	Expressions []string // all of them are true (see expression.go); none match every query
}

// Metadata lets log, template, view and rewrite refer to what other directives know of a query.
type Metadata struct {
	Zones []string // names that labels are for, but those of forward/upstream and zone/wildcard, which are for all
}

// Weights is a file of the weights of addresses.
type Weights struct {
	File   string
	Reload time.Duration // how often it is checked for changes; 0 never
}

// ViewName is the name of the block's view in metrics, "" without one.
func (b *Block) ViewName() string {
	if b.View == nil {
		return ""
	}
	return b.View.Name
}

// Dnssec signs answers for clients that ask for signatures.
type Dnssec struct {
	Zones    []string // the names that are signed
	Keys     []string // names of the files of each key, without .key and .private
	Capacity int      // how many signatures are kept; at least 1 of each of two kinds in each of 16 parts
}

// Local answers for localhost and the reverse zones of addresses that mean the machine itself.
type Local struct {
	NoPrefix bool // names of which localhost is the first label, before a search domain, are not taken
}

// Erratic answers A and AAAA with fixed addresses, and treats some questions badly, for tests of clients. Its numbers are
// how many questions one of them is, 0 for none.
type Erratic struct {
	Drop     uint64
	Delay    uint64
	Duration time.Duration // of a delay
	Truncate uint64        // a question has TC when its number and this one have no bit in common
	Large    bool          // A has 30 records
}

// Chaos answers questions of class CH about the server (RFC 4892). Each text has at most 255 octets.
type Chaos struct {
	Version  string // version.bind, version.server
	Hostname string // hostname.bind, id.server
	Authors  []string
}

// DNS64 synthesizes AAAA records from the A records of names that have no AAAA records (RFC 6147).
type DNS64 struct {
	// Prefix has 32, 40, 48, 56, 64 or 96 bits of IPv6 (RFC 6052 section 2.2); default 64:ff9b::/96.
	Prefix       netip.Prefix
	TranslateAll bool // synthesize even for names that have AAAA records
	AllowIPv4    bool // also for clients that ask over IPv4
}

// Rewrite is one rule of the directive rewrite: it changes the question, and may change the answer too.
type Rewrite struct {
	Continue bool // later rules see the changed question; otherwise the first match is the last
	Field    RewriteField

	// Of names, TTLs, rcodes and targets of aliases.
	Match    RewriteMatch // how From matches the name, which is in lower case with its final dot
	From     string       // text or, for MatchRegexp, a pattern of Go's package regexp
	To       string       // the replacement of a name; {1} in it is the first group of a pattern
	Metadata bool         // {kubernetes/client-namespace} in To is the value of that label; for MatchRegexp
	Auto     bool         // answer auto: the rule is undone in the names of the answer
	Answers  []RewriteAnswer

	Old, New          uint16 // of types, classes and rcodes
	LeastTTL, MostTTL uint32 // of TTLs: lower and higher ones become these
	EDNS              *RewriteEDNS
}

// RewriteField is what a rewrite rule changes.
type RewriteField uint8

// The fields.
const (
	RewriteName  RewriteField = iota // the name that is asked for
	RewriteType                      // the type, if it is Old, to New
	RewriteClass                     // the class, likewise
	RewriteTTL                       // the TTLs of the answer for names that From matches
	RewriteRcode                     // the rcode of the answer for such names, if it is Old, to New
	RewriteCNAME                     // targets of aliases in the answer that From matches
	RewriteEDNS0                     // the EDNS options that go upstream
)

// RewriteEDNS changes one EDNS option of what goes upstream.
type RewriteEDNS struct {
	Action   EDNSAction
	Code     uint16
	Value    []byte
	Variable string // qname, qtype, client_ip, client_port, protocol, server_ip or server_port, in the place of Value
	Subnet   [2]int // of option 8, client subnet (RFC 7871): the bits of IPv4 and of IPv6
}

// EDNSAction is what happens to an EDNS option.
type EDNSAction uint8

// The actions of rewrite edns0.
const (
	EDNSSet     EDNSAction = iota // it goes upstream, in the place of one that is there
	EDNSAppend                    // it goes upstream, beside one that is there
	EDNSReplace                   // it goes upstream if one is there, in its place
	EDNSUnset                     // none goes upstream
)

// RewriteMatch is how a rewrite rule matches names.
type RewriteMatch uint8

// The ways to match a name.
const (
	MatchExact     RewriteMatch = iota // the name is From
	MatchPrefix                        // it begins with From
	MatchSuffix                        // it ends with From
	MatchSubstring                     // it contains From; every occurrence is replaced
	MatchRegexp                        // the pattern From matches part of it; To replaces the whole name
)

// RewriteAnswer replaces names in the answer: `answer name PATTERN TO` or `answer value PATTERN TO`.
type RewriteAnswer struct {
	Value bool   // match names in record data instead of owner names
	From  string // a pattern of Go's package regexp
	To    string // replaces the whole name
}

// Autopath asks for the names in the other domains of a search list if the one in its first domain does not exist.
type Autopath struct {
	Zones      []string // of the client's names, at or below these
	Kubernetes bool     // the list begins with the domains of the client's pod, in the zone of Kubernetes with PodsVerified
	Search     []string // the list, or what follows the domains of the pod
}

// Search goes through the search list of a client whose address is of the namespace in the name that it asks for, and
// needs no pods. The list is <namespace>.svc.<zone>, svc.<zone>, <zone>, Domains, and the name without a domain.
type Search struct {
	Zones       []string // of the client's names, at or below these
	Domains     []string // of hosts: what the kubelet appends to the list
	Least, Most int      // dots of the names that clients ask for by the list
}

// ACL decides which clients may ask for which names (directive acl). The first rule that matches a query decides; if
// none does, the next ACL is tried, and after the last one the query is allowed.
type ACL struct {
	Zones []string // names at or below these
	Rules []ACLRule
}

// ACLRule is one line of an acl.
type ACLRule struct {
	Action   ACLAction
	Types    []uint16       // qtypes; empty for all
	Networks []netip.Prefix // of clients; empty for all
}

// ACLAction is what happens to a query that a rule matches.
type ACLAction uint8

// The actions of acl.
const (
	ACLAllow  ACLAction = iota // the next step runs
	ACLBlock                   // REFUSED, with the Extended DNS Error Blocked
	ACLFilter                  // NOERROR without records, with the Extended DNS Error Filtered
	ACLDrop                    // no reply
)

// Header changes flags of the query that goes upstream and of the reply (directive header), in order.
type Header struct{ Query, Response []HeaderChange }

// HeaderChange sets or clears one flag: wire.FlagAA, FlagRA or FlagRD.
type HeaderChange struct {
	Flag uint16
	Set  bool
}

// Template answers with records whose text is made for each question (directive template).
type Template struct {
	Zones       []string
	Class       uint16   // 255 for any
	Type        uint16   // 255 for any
	Match       []string // patterns of Go's package regexp for the name in lower case with its final dot; empty: every name
	Vars        []TemplateVar
	Conditions  []string // expressions that have to be true besides
	Answer      []string // texts of Go's package text/template, each of one record in presentation format
	Authority   []string
	Additional  []string
	Rcode       uint16 // with SERVFAIL no text is used
	Error       *TemplateError
	Fallthrough Fallthrough // for names in Zones that no pattern matches
}

// TemplateVar is a value that texts, and the expressions after it, may refer to.
type TemplateVar struct {
	Name       string
	Expression string // see expression.go
}

// TemplateError is an Extended DNS Error that goes with the answer.
type TemplateError struct {
	Code uint16
	Text string
}

// Hosts answers from tables in the form of /etc/hosts.
type Hosts struct {
	Zones       []string      // names it answers for; nil for the block's zones
	File        string        // "" for none; default /etc/hosts
	Inline      []string      // lines of the Corefile
	TTL         time.Duration // default 3600 s
	Reload      time.Duration // how often the file is checked for changes; default 5 s, 0 never
	NoReverse   bool          // makes no PTR records
	Fallthrough Fallthrough
	OtherTypes  bool // of its names fall through as well
}

// Kubernetes serves the names of a cluster: its fields are what may differ between server blocks that share an index.
type Kubernetes struct {
	Zones        []string // the first that is not a reverse zone is the target of PTR records
	Index        *zones.Index
	TTL          time.Duration // default 5 s, 0-3600 s
	Pods         zones.Pods
	Nearest      bool         // of headless services clients get the endpoints that are nearest, if the index has places
	Zonal        bool         // names have topology zones, which metadata tells
	MultiCluster []string     // those of Zones that are clusterset zones
	MultiIndex   *zones.Index // the index of the ServiceImports; nil without MultiCluster

	NearestCluster bool // the index of the ServiceImports leads to the own cluster first

	Fallthrough Fallthrough
	Visibility  *Visibility  // which namespaces clients see; nil for all
	Local       []netip.Addr // addresses of this server, to find the service that fronts it
}

// External serves the names of services that clients outside the cluster reach, <service>.<namespace>.<zone> (directive
// k8s_external).
type External struct {
	Zones       []string
	Apex        string        // labels below the zone: the name server is ns1.<apex>.<zone>; default "dns"
	TTL         time.Duration // default 5 s, 0-3600 s
	Headless    bool          // headless services have names too, with the addresses of their endpoints
	Fallthrough Fallthrough
}

// ZoneFile is a zone file, for one zone or several (directive file).
type ZoneFile struct {
	Zones       []string
	File        string
	Reload      time.Duration // how often the file is checked; default 1 min, 0 never
	ByTime      bool          // reload_by_mtime: a changed file is taken without a new serial
	Fallthrough Fallthrough
}

// ZoneFolder is a folder of zone files (directive auto).
type ZoneFolder struct {
	Zones     []string // zones at or below these
	Directory string
	Pattern   string        // of Go's package regexp, for names of files; default db\.(.*)
	Origin    string        // the zone's name; ${1} is the first group of Pattern
	Reload    time.Duration // how often the folder is checked; default 1 min, 0 never
}

// Secondary is zones that are transferred from other servers (directive secondary).
type Secondary struct {
	Zones       []string
	From        []netip.AddrPort
	Fallthrough Fallthrough
}

// Etcd serves the records that a prefix of etcd holds in the layout of SkyDNS.
type Etcd struct {
	skydns.Options
	TLS         bool   // endpoints with https have the TLS options that follow
	CertFile    string // client certificate, with KeyFile
	KeyFile     string
	CAFile      string // roots; "" for the system's
	Fallthrough Fallthrough
}

// Gateway serves the hosts of Ingresses, and load balancers, of an index (directive k8s_gateway).
type Gateway struct {
	Zones       []string
	Index       *zones.Index
	TTL         time.Duration // default 1 min
	Apex        string        // labels of the name server below the zone
	Fallthrough Fallthrough
}

// ZoneTransfer says who may transfer whole zones, and who is notified of changes.
type ZoneTransfer struct {
	Zones []string         // zones at or below these
	To    []netip.AddrPort // secondaries: NOTIFY goes to the port, transfers are allowed from the address
	Any   bool             // `to *`: any client may transfer
}

// Cache keeps what was forwarded. All durations are TTLs.
type Cache struct {
	Zones          []string      // names it caches; nil for the block's zones
	MaxTTL         time.Duration // cap, default 3600 s (CACHE's TTL argument)
	Success        CacheLimit    // positive answers; default 9984 entries
	Denial         CacheLimit    // NXDOMAIN and NODATA; default 9984 entries, 1800 s
	ServFail       time.Duration // how long a failure is cached; default 5 s, at most 5 min (RFC 2308 section 7.1)
	Prefetch       int           // queries within PrefetchFor that make a name worth prefetching; 0 off
	PrefetchFor    time.Duration // default 1 min
	PrefetchAt     int           // prefetch when this percentage of the TTL is left; default 10
	ServeStale     time.Duration // how long past its TTL an entry may be served; 0 off, default 1 h when on
	StaleVerify    bool          // serve_stale … verify: ask upstream first
	StaleTimeout   time.Duration // of verify: how long a query waits for upstream before it gets a stale answer; 0 until it fails
	StaleTTL       time.Duration // of records in a stale answer; default 30 s
	StaleRecheck   time.Duration // how long upstream is not asked again after it failed; default 30 s, NoRecheck for no such time
	PreferPositive bool          // serve_stale_policy prefer_positive: a stale answer with records goes before a denial
	DisableSuccess []string      // names whose positive answers are not cached
	DisableDenial  []string      // names whose denials are not cached
	KeepTTL        bool          // TTLs do not count down
}

// NoRecheck has upstream asked again as soon as it has failed.
const NoRecheck = time.Nanosecond

// CacheLimit bounds one of the cache's two halves.
type CacheLimit struct {
	Capacity int           // entries
	MaxTTL   time.Duration // cap
	MinTTL   time.Duration // floor, default 0 for success, 5 s for denial
}

// Policy is the order in which upstreams are tried.
type Policy uint8

// The policies of `forward`.
const (
	Random Policy = iota
	RoundRobin
	Sequential
)

// Forward sends a query on to upstreams.
type Forward struct {
	From          string   // forwards names at or below it; "." is all
	Except        []string // but not at or below these
	To            []Upstream
	Policy        Policy
	PreferUDP     bool             // ask over UDP even when the client used TCP
	ForceTCP      bool             // ask over TCP always
	MaxConcurrent int              // queries under way before new ones are refused; 0 means the built-in bound
	MaxFails      int              // an upstream is down after more failed health checks than this; default 2, 0 never
	MaxAttempts   int              // attempts of a query; 0 means two for each upstream, NoAttemptLimit for as many as time allows
	HealthCheck   time.Duration    // interval of checks of a failing upstream; default 0.5 s, 0 no checks
	HealthDomain  string           // name asked by a check; default "."
	HealthNoRec   bool             // a check does not ask for recursion
	Expire        time.Duration    // closes connections idle for so long; default 10 s
	MaxAge        time.Duration    // replaces connections that are older; 0 never, else at least Expire
	MaxIdle       int              // idle connections kept for each upstream; 0 for the built-in bound
	ReadTimeout   time.Duration    // how long one attempt waits for its reply; default 2 s
	Source        netip.Addr       // source_address: where queries and health checks come from; the zero Addr for any
	Resolvers     []netip.AddrPort // resolver: who is asked for addresses of upstreams; none for those of /etc/resolv.conf
	ServerName    string           // TLS server name of upstreams that have none of their own
	CertFile      string           // TLS client certificate, with KeyFile
	KeyFile       string
	CAFile        string   // TLS roots; "" for the system's
	FailFast      bool     // failfast_all_unhealthy_upstreams: SERVFAIL at once when all upstreams are down
	Next          []uint16 // next: rcodes that pass the query to the next forward
	NextOnNoData  bool     // next_on_nodata: so does NOERROR without an answer
	DoHGet        bool     // doh_method GET: DNS over HTTPS by GET instead of POST
	Failover      []uint16 // failover: rcodes after which the next upstream is tried
}

// NoAttemptLimit lets a query be attempted until its time is over.
const NoAttemptLimit = -1

// MostUpstreams is the number of upstreams of a forward at most, as in CoreDNS.
const MostUpstreams = 15

// Upstream is one server to forward to: an address, or a name or a file that says which addresses there are.
type Upstream struct {
	Transport  Transport
	Address    netip.AddrPort
	Host       string // a domain name whose addresses are asked for again when their TTL ends; "" for none
	Port       uint16 // of Host, and of nameservers of File that say no other
	File       string // like /etc/resolv.conf, read again when it changes; "" for none
	ServerName string // TLS server name; "" for Forward.ServerName, then Host, then the address
}

// Transport is how an upstream is asked.
type Transport uint8

// The transports of upstreams.
const (
	OverDNS     Transport = iota // UDP and TCP
	OverTLS                      // RFC 7858
	OverQUIC                     // RFC 9250
	OverHTTPS                    // RFC 8484, HTTP/2 or HTTP/1.1
	OverGRPC                     // CoreDNS's service, without TLS
	OverGRPCTLS                  // the same with TLS
)
