package logs

import (
	"net/netip"
	"testing"
	"time"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/zones/wire"
)

func TestLogFormats(t *testing.T) {
	r := record{client: netip.MustParseAddrPort("[2001:db8::1]:53"), local: netip.MustParseAddr("10.96.0.10"),
		elapsed: 1500 * time.Microsecond,
		size:    40, replySize: 99, id: 7, replied: 0xffff, typ: wire.Type(65280), class: 255, rcode: 23, bufsize: 512,
		proto: resolver.TCP, metadata: []string{"one", "two"}}
	r.nameSize = uint8(copy(r.name[:], "\x03a b\x00"))
	for format, want := range map[string]string{
		"{remote} {port} {local}":           "[2001:db8::1] 53 10.96.0.10",
		"{name} {type} {class} {proto}":     `a\ b. TYPE65280 CLASS255 tcp`,
		"{rcode} {rsize} {size} {duration}": "BADCOOKIE 99 40 0.0015s",
		"{>id} {>opcode} {>do} {>bufsize}":  "7 0 false 512",
		"{>rflags}":                         "qr,aa,tc,rd,ra,z,ad,cd",
		"{unknown} } { {name} {/a/b} {":     `{unknown} } { a\ b. one {`,
		"{/a/b}{type}{x{/c/d}":              "oneTYPE65280{xtwo",
		"":                                  "",
		"{ {name} }":                        `{ a\ b. }`,
	} {
		if got := string(parseFormat(format).append(nil, &r)); got != want {
			t.Errorf("%q: got %q, want %q", format, got, want)
		}
	}
}
