package resolver

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha512" // of P-384 and RSASHA512
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"strings"
	"time"

	"github.com/clusterdns/clusterdns/zones/feed"
	"github.com/clusterdns/clusterdns/zones/wire"
	"github.com/miekg/dns"
)

const (
	// originalTTL is what signatures say of the TTL of all rrsets, as in CoreDNS, so that one stays good while the TTL of
	// a forwarded record goes down. Validators cut longer TTLs to it.
	originalTTL = 3600

	// Signatures are valid from some hours ago, for clocks that are behind, and for days, as in CoreDNS. They are made
	// anew when less than signedRest is left.
	signedBefore = 3 * time.Hour
	signedFor    = 8 * 24 * time.Hour
	signedRest   = 2 * 24 * time.Hour

	flagZone   = 1 << 8 // of a DNSKEY, RFC 4034 section 2.1.1
	flagRevoke = 1 << 7 // RFC 5011 section 3
	flagSEP    = 1
)

// keyring is the keys of a dnssec, and what was signed with them. It is replaced as a whole.
type keyring struct {
	keys   []*Key
	split  bool     // some keys sign DNSKEY records alone, the others all else
	public [][]byte // the data of the DNSKEY records
	size   int      // octets of the signatures of an rrset, at most, with the fixed parts of their records
	cost   time.Duration

	sets    signatures // of rrsets that exist
	denials signatures // of NSEC records: any client can ask for as many as it likes
}

// Key is a key that zones are signed with.
type Key struct {
	public  *dns.DNSKEY
	private crypto.Signer
	hash    crypto.Hash // 0 for Ed25519, which hashes itself
	tag     uint16
	digits  int // octets of a number of an ECDSA signature
}

// Owner is the name of the zone that the key was made for.
func (k *Key) Owner() string { return dns.CanonicalName(k.public.Hdr.Name) }

// String says which key it is.
func (k *Key) String() string {
	use := "ZSK"
	if k.secure() {
		use = "KSK"
	}
	return fmt.Sprintf("%s %s %d %s", k.Owner(), dns.AlgorithmToString[k.public.Algorithm], k.tag, use)
}

// secure reports whether the key is a secure entry point: one that DS records are made of.
func (k *Key) secure() bool { return k.public.Flags&flagSEP != 0 }

// ReadKey reads the content of a key's two files, as dnssec-keygen writes them.
func ReadKey(public, private []byte) (*Key, error) {
	parser := dns.NewZoneParser(bytes.NewReader(public), ".", "")
	record, _ := parser.Next()
	if err := parser.Err(); err != nil {
		return nil, fmt.Errorf("the public key: %w", err)
	}
	k := &Key{}
	var ok bool
	if k.public, ok = record.(*dns.DNSKEY); !ok {
		return nil, errors.New("the public key is no DNSKEY record")
	}
	k.tag = k.public.KeyTag()
	switch {
	case k.public.Flags&flagZone == 0 || k.public.Protocol != 3:
		return nil, errors.New("the public key is not that of a zone (RFC 4034 section 2.1)")
	case k.public.Flags&flagRevoke != 0:
		return nil, errors.New("the key is revoked (RFC 5011)")
	}
	if err := k.algorithm(); err != nil {
		return nil, err
	}
	secret, err := k.public.ReadPrivateKey(bytes.NewReader(append(private, '\n')), "")
	if err != nil {
		return nil, fmt.Errorf("the private key: %w", err)
	}
	if k.private, err = usable(secret); err != nil {
		return nil, err
	}
	return k, k.check()
}

// algorithm says how the key signs.
func (k *Key) algorithm() error {
	switch k.public.Algorithm {
	case dns.ECDSAP256SHA256:
		k.hash, k.digits = crypto.SHA256, 32
	case dns.ECDSAP384SHA384:
		k.hash, k.digits = crypto.SHA384, 48
	case dns.RSASHA256:
		k.hash = crypto.SHA256
	case dns.RSASHA512:
		k.hash = crypto.SHA512
	case dns.ED25519:
	default:
		name := dns.AlgorithmToString[k.public.Algorithm]
		if name == "" {
			name = fmt.Sprint(k.public.Algorithm)
		}
		return fmt.Errorf("algorithm %s cannot be signed with: make a key with `dnssec-keygen -a ECDSAP256SHA256 ZONE`", name)
	}
	return nil
}

// usable is secret as what signs. Numbers that a file lacks are an error, not a panic at the first signature.
func usable(secret crypto.PrivateKey) (crypto.Signer, error) {
	incomplete := errors.New("the private key lacks numbers")
	switch key := secret.(type) {
	case *rsa.PrivateKey:
		if key.D == nil || key.Primes[0] == nil || key.Primes[1] == nil {
			return nil, incomplete
		}
		if err := key.Validate(); err != nil {
			return nil, errors.New("the private key is not that of the public key")
		}
		key.Precompute()
		return key, nil
	case *ecdsa.PrivateKey:
		raw, err := key.Bytes()
		if err != nil {
			return nil, incomplete
		}
		return ecdsa.ParseRawPrivateKey(key.Curve, raw)
	case ed25519.PrivateKey:
		if len(key) != ed25519.PrivateKeySize {
			return nil, incomplete
		}
		return key, nil
	}
	return nil, errors.New("the private key is of an unknown kind")
}

// check fails unless what the private key signs is good by the public key.
func (k *Key) check() error {
	data, err := k.signature([]byte{0}, wire.TypeTXT, 0, time.Now(), nil, [][]byte{{1, 'x'}})
	if err != nil {
		return fmt.Errorf("the private key: %w", err)
	}
	rrsig, _, err := dns.UnpackRRWithHeader(dns.RR_Header{Name: ".", Rrtype: dns.TypeRRSIG, Class: dns.ClassINET,
		Rdlength: uint16(len(data))}, data, 0)
	if err != nil {
		return err
	}
	signed := &dns.TXT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: originalTTL},
		Txt: []string{"x"}}
	signer := dns.Copy(k.public).(*dns.DNSKEY)
	signer.Hdr.Name = "."
	if err := rrsig.(*dns.RRSIG).Verify(signer, []dns.RR{signed}); err != nil {
		return errors.New("the private key is not that of the public key")
	}
	return nil
}

// signature is the data of an RRSIG record (RFC 4034 section 3.1) of the records of type t at owner, which is in lower
// case and has that many labels, a wildcard's own not counted. records are their data, sorted.
func (k *Key) signature(owner []byte, t wire.Type, labels int, now time.Time, zone []byte, records [][]byte) ([]byte, error) {
	if zone == nil {
		zone = owner
	}
	head := make([]byte, 0, 18+len(zone)+512)
	head = append(head, byte(t>>8), byte(t), k.public.Algorithm, byte(labels))
	head = binary.BigEndian.AppendUint32(head, originalTTL)
	head = binary.BigEndian.AppendUint32(head, uint32(now.Add(signedFor).Unix()))
	head = binary.BigEndian.AppendUint32(head, uint32(now.Add(-signedBefore).Unix()))
	head = append(binary.BigEndian.AppendUint16(head, k.tag), zone...)
	whole := bytes.Clone(head)
	for i, data := range records {
		if i > 0 && bytes.Equal(data, records[i-1]) {
			continue
		}
		whole = append(append(whole, owner...), byte(t>>8), byte(t), 0, byte(wire.ClassIN))
		whole = binary.BigEndian.AppendUint32(whole, originalTTL)
		whole = append(binary.BigEndian.AppendUint16(whole, uint16(len(data))), data...)
	}
	made, err := k.sign(whole)
	return append(head, made...), err
}

// sign is a signature in the form of DNSSEC: two numbers side by side for ECDSA (RFC 6605 section 4).
func (k *Key) sign(data []byte) ([]byte, error) {
	if k.hash == 0 {
		return k.private.Sign(rand.Reader, data, crypto.Hash(0))
	}
	h := k.hash.New()
	h.Write(data)
	if k.digits == 0 {
		return k.private.Sign(rand.Reader, h.Sum(nil), k.hash)
	}
	a, b, err := ecdsa.Sign(rand.Reader, k.private.(*ecdsa.PrivateKey), h.Sum(nil))
	if err != nil {
		return nil, err
	}
	return append(k.number(a), k.number(b)...), nil
}

func (k *Key) number(n *big.Int) []byte { return n.FillBytes(make([]byte, k.digits)) }

// fileMark is what tells whether a file has changed.
type fileMark struct {
	name string
	info fs.FileInfo
}

// unchanged reports whether the files are those that were read last.
func (d *dnssec) unchanged() bool {
	for _, mark := range d.seen {
		now, err := os.Stat(mark.name)
		if err != nil || !feed.SameContent(mark.info, now) {
			return false
		}
	}
	return true
}

// read reads the keys.
func (d *dnssec) read() (*keyring, []fileMark, error) {
	var keys []*Key
	var seen []fileMark
	for _, base := range d.options.Keys {
		var halves [2][]byte
		for i, name := range [...]string{base + ".key", base + ".private"} {
			content, mark, err := readMarked(name)
			if err != nil {
				return nil, nil, err
			}
			halves[i], seen = content, append(seen, mark)
		}
		k, err := ReadKey(halves[0], halves[1])
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", base, err)
		}
		keys = append(keys, k)
	}
	ring, err := newKeyring(keys, d.options.Capacity)
	return ring, seen, err
}

// readMarked reads a file, and marks what it was.
func readMarked(name string) ([]byte, fileMark, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fileMark{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fileMark{}, err
	}
	content, err := io.ReadAll(io.LimitReader(file, mostKeyFile))
	return content, fileMark{name, info}, err
}

// mostKeyFile is the octets of a file of a key that are read: more than a key of RSA with 4096 bits has.
const mostKeyFile = 64 << 10

// newKeyring makes a keyring that keeps capacity signatures, half of them for denials.
func newKeyring(keys []*Key, capacity int) (*keyring, error) {
	ring := &keyring{keys: keys}
	secure := 0
	for _, k := range keys {
		if k.secure() {
			secure++
		}
		buf := make([]byte, dns.Len(k.public)+1)
		end, err := dns.PackRR(k.public, buf, 0, nil, false)
		if err != nil {
			return nil, err
		}
		var r wire.Record
		if _, ok := r.Read(buf[:end], 0); !ok {
			return nil, errors.New("the public key cannot be written")
		}
		ring.public = append(ring.public, bytes.Clone(r.Data))
		if err := ring.measure(k); err != nil {
			return nil, err
		}
	}
	ring.split = secure > 0 && secure < len(keys)
	ring.sets.init(capacity - capacity/2)
	ring.denials.init(capacity / 2)
	return ring, nil
}

// leastCost is the least that a signature is reckoned with.
const leastCost = 10 * time.Microsecond

// measure adds the size and the time of a signature with k.
func (ring *keyring) measure(k *Key) error {
	best := time.Hour
	size := 0
	for range 3 {
		began := time.Now()
		data, err := k.signature([]byte{0}, wire.TypeTXT, 0, began, nil, [][]byte{{0}})
		if err != nil {
			return err
		}
		best, size = min(best, time.Since(began)), len(data)
	}
	ring.cost += max(best, leastCost)
	ring.size += 12 + wire.MaxName + size
	return nil
}

// signing keys of records of type t.
func (ring *keyring) signs(k *Key, t wire.Type) bool {
	return !ring.split || k.secure() == (t == wire.TypeDNSKEY)
}

// entries are how many signatures are kept.
func (ring *keyring) entries() int { return ring.sets.len() + ring.denials.len() }

// String lists the keys.
func (ring *keyring) String() string {
	var all []string
	for _, k := range ring.keys {
		all = append(all, k.String())
	}
	return strings.Join(all, ", ")
}
