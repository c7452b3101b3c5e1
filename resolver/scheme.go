package resolver

// Scheme is what the clients of a server speak, as the zones of a server block say it: tls://example.org.
type Scheme string

// The schemes. To add one: its row in schemes, and what serves it in server/listen.
const (
	Do53   Scheme = "dns" // over UDP and TCP
	DoT    Scheme = "tls"
	DoH    Scheme = "https"
	DoH3   Scheme = "https3"
	DoQ    Scheme = "quic"
	DoGRPC Scheme = "grpc"
)

// schemes lists what the schemes differ in.
var schemes = map[Scheme]struct {
	port  uint16 // where no other is given; 0 for that of the flag -dns.port
	proto Proto  // of queries; TCP stands for UDP too
	plain bool   // it can do without a certificate, behind a proxy that has one
}{
	Do53:   {0, TCP, true},
	DoT:    {853, TLS, true},     // RFC 7858 section 3.1
	DoH:    {443, HTTPS, true},   // RFC 8484 section 8.1
	DoH3:   {443, HTTPS3, false}, //
	DoQ:    {853, QUIC, false},   // RFC 9250 section 4.1.1
	DoGRPC: {443, GRPC, true},    // as in CoreDNS
}

// Known reports whether there is such a scheme.
func (s Scheme) Known() bool { _, known := schemes[s]; return known }

// Port is the port of the scheme; 0 for that of the flag -dns.port.
func (s Scheme) Port() uint16 { return schemes[s].port }

// Proto is the transport of the scheme's queries; of Do53 that of streams.
func (s Scheme) Proto() Proto { return schemes[s].proto }

// Plain reports whether the scheme can do without a certificate.
func (s Scheme) Plain() bool { return schemes[s].plain }
