package feed

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"regexp"
	"strings"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones/general"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// MostFile is the octets of a zone file.
const MostFile = 128 << 20

// Parse reads a zone in presentation format (RFC 1035 section 5). An error begins with file:line. Records that are not in
// the zone are left out and counted. Files of $INCLUDE are read from include, nil for those of the system.
func Parse(content io.Reader, file, origin string, include fs.FS) (z *general.Zone, outside int, err error) {
	apex, err := wire.ParseName(origin)
	if err != nil {
		return nil, 0, err
	}
	bounded := &io.LimitedReader{R: content, N: MostFile + 1}
	lines := &lineReader{content: bufio.NewReader(bounded)}
	parser := dns.NewZoneParser(lines, dns.Fqdn(origin), file)
	parser.SetIncludeAllowed(true)
	if include != nil {
		parser.SetIncludeFS(include)
	}
	b := general.NewBuilder(apex)
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		record, err := Pack(rr)
		switch {
		case err != nil:
			return nil, 0, fmt.Errorf("%s:%d: %s: %w", file, lines.number, rr.Header().Name, err)
		case !wire.Within(record.Owner, apex) && record.Type != wire.TypeSOA:
			outside++
			continue
		}
		if err := b.Add(&record); err != nil {
			return nil, 0, fmt.Errorf("%s:%d: %w", file, lines.number, err)
		}
	}
	if err := parser.Err(); err != nil {
		return nil, 0, place(err, file)
	}
	if bounded.N == 0 {
		return nil, 0, fmt.Errorf("%s: larger than %d MiB", file, MostFile>>20)
	}
	if z, err = b.Build(); err != nil {
		return nil, 0, fmt.Errorf("%s: %w", file, err)
	}
	return z, outside, nil
}

// lineReader reads a line at a time, so that the parser, which reads no further than it must, is where the number says. In a
// file of $INCLUDE that is the line of the $INCLUDE.
type lineReader struct {
	content *bufio.Reader
	number  int    // of the last line
	rest    []byte // of that line
	err     error  // behind it
	within  bool   // it has not come to its end
}

func (l *lineReader) Read(p []byte) (n int, err error) {
	if len(l.rest) == 0 {
		if l.err != nil {
			return 0, l.err
		}
		if !l.within {
			l.number++
		}
		l.rest, l.err = l.content.ReadSlice('\n')
		if l.within = errors.Is(l.err, bufio.ErrBufferFull); l.within {
			l.err = nil
		}
	}
	n = copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

// atLine is where the errors of miekg/dns say their line.
var atLine = regexp.MustCompile(`^(?:(.*?): )?dns: (.*) at line: (\d+):(\d+)$`)

// place puts file:line before the words of a parser's error.
func place(err error, file string) error {
	if m := atLine.FindStringSubmatch(err.Error()); m != nil {
		if m[1] != "" {
			file = m[1] // that of an $INCLUDE
		}
		return fmt.Errorf("%s:%s: %s", file, m[3], strings.TrimSuffix(m[2], `: ""`))
	}
	return fmt.Errorf("%s: %w", file, err)
}

// Pack is rr in wire form. Types that are no data are refused: OPT and those from 249 to 255, which are TKEY, TSIG and
// qtypes (RFC 6895 section 3.1).
func Pack(rr dns.RR) (record wire.Written, err error) {
	header := rr.Header()
	if t := header.Rrtype; t == dns.TypeOPT || t >= dns.TypeTKEY && t <= dns.TypeANY {
		return record, fmt.Errorf("%s is not a type of data", dns.Type(t))
	}
	packed := make([]byte, dns.Len(rr)+wire.MaxName+1)
	end, err := dns.PackRR(rr, packed, 0, nil, false)
	if err != nil {
		return record, err
	}
	var owner [wire.MaxName + 1]byte
	size, _, ok := wire.UnpackName(&owner, packed[:end], 0)
	var read wire.Record
	if _, whole := read.Read(packed[:end], 0); !ok || !whole || len(read.Data) > math.MaxUint16 {
		return record, errors.New("the record cannot be written")
	}
	if _, _, err := dns.UnpackRR(packed[:end], 0); err != nil {
		return record, fmt.Errorf("the record has no data: %w", err) // the parser lets the data be left out
	}
	record = wire.Written{Owner: owner[:size], Type: read.Type, Class: read.Class, TTL: read.TTL, Data: read.Data}
	if !record.Whole() { // the parser lets RDATA of no octets pass
		return record, fmt.Errorf("the data of a record of type %s is not whole", dns.Type(record.Type))
	}
	return record, nil
}
