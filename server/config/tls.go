package config

import (
	"crypto/tls"

	"github.com/clusterdns/clusterdns/resolver"
)

// clientAuth are the modes of client_auth, by CoreDNS's words.
var clientAuth = map[string]tls.ClientAuthType{
	"nocert":             tls.NoClientCert,
	"request":            tls.RequestClientCert,
	"require":            tls.RequireAnyClientCert,
	"verify_if_given":    tls.VerifyClientCertIfGiven,
	"require_and_verify": tls.RequireAndVerifyClientCert,
}

// tls CERT KEY [CA] { client_auth MODE }
func (b *blockReader) tls(a *args) {
	const want = "CERT KEY [CA], files in PEM"
	known := options{"keylog": nil, "acme": nil, "email": nil, "ca": nil, "storage": nil, "ca_root": nil, "resolver": nil}
	if a.has("acme") {
		a.rest()
		a.options(known)
		return
	}
	t := &TLS{CertFile: a.word(want), KeyFile: a.word(want)}
	a.checkKeyPair(t.CertFile, t.KeyFile)
	if a.more() {
		t.CAFile = a.word("")
		a.checkRoots(t.CAFile)
	}
	known["client_auth"] = func(o *args) { t.ClientAuth = choose(o, clientAuth) }
	a.options(known)
	b.TLS, b.tlsAt = t, a.at
}

// checkTLS fails where a scheme needs a certificate that the block has not, and warns of what is not encrypted.
func (b *blockReader) checkTLS(warn warner) error {
	secure := false
	for _, k := range b.keys {
		secure = secure || k.scheme != resolver.Do53
		switch {
		case b.TLS != nil || k.scheme == resolver.Do53:
		case !k.scheme.Plain():
			return k.at.errorf("%s:// needs a certificate: write `tls CERT KEY` into the block", k.scheme)
		case k.scheme == resolver.DoT:
			warn(k.at, "without `tls CERT KEY` in the block, tls:// is DNS over TCP that is not encrypted")
		}
	}
	if b.TLS != nil && !secure && !b.unplaced {
		warn(b.tlsAt, "tls: has no effect: no zone of the block has a scheme such as tls://")
	}
	return nil
}

// setTLS takes the certificate of the blocks at one listener, which must agree: a handshake comes before any query.
func (l *Listener) setTLS(parts []part) error {
	if l.Scheme == resolver.Do53 {
		return nil
	}
	first := parts[0].block
	l.TLS = first.TLS
	for _, p := range parts[1:] {
		b := p.block
		if (b.TLS == nil) != (l.TLS == nil) || l.TLS != nil && *b.TLS != *l.TLS {
			return b.at.errorf("tls: the block at %s has another `tls`, and both listen on %s", first.at,
				socket{l.Scheme, l.Addresses[0]})
		}
	}
	return nil
}

func summarizeTLS(b *Block, s *summary) {
	if t := b.TLS; t != nil {
		for word, mode := range clientAuth {
			if mode == t.ClientAuth {
				s.note(true, "tls %s%s", t.CertFile, when(mode != tls.NoClientCert, " client_auth %s", word))
			}
		}
	}
}
