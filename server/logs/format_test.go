package logs

import (
	"encoding/json"
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
		proto: resolver.TCP, metadata: []string{"one", "two"}, reason: "service a/b: not found", pod: "prod/web-0"}
	r.nameSize = uint8(copy(r.name[:], "\x03a b\x00"))
	for format, want := range map[string]string{
		"{remote} {port} {local}":           "[2001:db8::1] 53 10.96.0.10",
		"{name} {type} {class} {proto}":     `a\ b. TYPE65280 CLASS255 tcp`,
		"{rcode} {rsize} {size} {duration}": "BADCOOKIE 99 40 0.0015s",
		"{>id} {>opcode} {>do} {>bufsize}":  "7 0 false 512",
		"{>rflags}":                         "qr,aa,tc,rd,ra,z,ad,cd",
		"{unknown} } { {name} {/a/b} {":     `{unknown} } { a\ b. one {`,
		"{/a/b}{type}{x{/c/d}":              "oneTYPE65280{xtwo",
		"{>ede}":                            "service a/b: not found",
		"{remote} {clusterdns/pod}":         "[2001:db8::1] prod/web-0",
		"":                                  "",
		"{ {name} }":                        `{ a\ b. }`,
	} {
		if got := string(parseFormat(format).append(nil, &r)); got != want {
			t.Errorf("%q: got %q, want %q", format, got, want)
		}
	}
}

// TestJSON: each line is an object, whatever names and reasons hold.
func TestJSON(t *testing.T) {
	r := record{client: netip.MustParseAddrPort("[2001:db8::1]:53"), elapsed: 1500 * time.Microsecond, size: 40,
		replySize: 99, id: 7, replied: 1 << 15, typ: 1, class: 1, rcode: 3, bufsize: 1232, do: true, proto: resolver.TCP,
		at: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), info: 15, reason: "a \"quoted\" \\ \xff \n name"}
	r.nameSize = uint8(copy(r.name[:], "\x04a\"\x01b\x00"))
	for _, test := range []struct {
		change func(*record)
		want   string
	}{
		{func(*record) {}, `{"time":"2026-01-02T03:04:05.000006Z","client":"2001:db8::1","port":53,"proto":"tcp","id":7,` +
			`"opcode":0,"name":"a\\\"\\001b.","type":"A","class":"IN","size":40,"do":true,"bufsize":1232,` +
			`"rcode":"NXDOMAIN","flags":"qr","rsize":99,"duration":0.0015,"ede":15,` +
			`"reason":"a \"quoted\" \\ ` + "\ufffd" + ` \u000a name"}`},
		{func(r *record) { r.reason, r.dropped = "", true }, `{"time":"2026-01-02T03:04:05.000006Z","client":"2001:db8::1",` +
			`"port":53,"proto":"tcp","id":7,"opcode":0,"name":"a\\\"\\001b.","type":"A","class":"IN","size":40,"do":true,` +
			`"bufsize":1232,"rsize":99,"duration":0.0015}`},
		{func(r *record) { r.reason, r.dropped, r.pod = "", true, "prod/web-0" }, `{"time":"2026-01-02T03:04:05.000006Z",` +
			`"client":"2001:db8::1","pod":"prod/web-0","port":53,"proto":"tcp","id":7,"opcode":0,"name":"a\\\"\\001b.",` +
			`"type":"A","class":"IN","size":40,"do":true,"bufsize":1232,"rsize":99,"duration":0.0015}`},
	} {
		r := r
		test.change(&r)
		got := compile(JSONLog, nil).append(nil, &r)
		if string(got) != test.want || !json.Valid(got) {
			t.Errorf("got  %s\nwant %s, valid: %v", got, test.want, json.Valid(got))
		}
	}
}
