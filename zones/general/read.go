package general

import (
	"bytes"
	"fmt"
	"regexp"

	"github.com/miekg/dns"
)

// MaxFile is the largest zone file that is read, in octets: a mistyped name, say of a disk image, must not fill the
// memory.
const MaxFile = 64 << 20

// Read makes the zone called origin of a zone file (RFC 1035 section 5). Errors begin with file and line. $INCLUDE
// names files relative to file.
func Read(file, origin string, content []byte) (*Zone, error) {
	if len(content) > MaxFile {
		return nil, fmt.Errorf("%s: larger than %d MiB", file, MaxFile>>20)
	}
	parser := dns.NewZoneParser(bytes.NewReader(content), origin, file)
	parser.SetIncludeAllowed(true)
	var records []dns.RR
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		records = append(records, rr)
	}
	if err := parser.Err(); err != nil {
		return nil, located(file, err)
	}
	z, err := New(origin, records)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return z, nil
}

// at is where the parser says that a mistake is.
var at = regexp.MustCompile(`^(?:.*?: )?dns: (.*) at line: (\d+):\d+$`)

// located is err with file and line in front.
func located(file string, err error) error {
	if m := at.FindStringSubmatch(err.Error()); m != nil {
		return fmt.Errorf("%s:%s: %s", file, m[2], m[1])
	}
	return fmt.Errorf("%s: %w", file, err)
}
