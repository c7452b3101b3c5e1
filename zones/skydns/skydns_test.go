package skydns

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// written is the names of keys and values below "test.", each as "TYPE TTL DATA …" with the data of SRV, MX and TXT in
// hexadecimal but for names.
func written(t *testing.T, keys map[string]string, noFallback bool) *zones.Names {
	t.Helper()
	records := map[string]*record{}
	for key, value := range keys {
		r, err := parse(key, []byte(value))
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		records[key] = r
	}
	return compile(records, []string{"\x04test\x00", "\x04arpa\x00"}, noFallback)
}

func find(t *testing.T, n *zones.Names, name string) *zones.NamesNode {
	t.Helper()
	parsed, err := wire.ParseName(name)
	if err != nil {
		t.Fatal(err)
	}
	var q wire.QName
	q.SetString(string(parsed))
	return n.Find(&q, 1)
}

func describe(node *zones.NamesNode) string {
	if node == nil {
		return "none"
	}
	var list []string
	for _, s := range node.RRsets {
		text := fmt.Sprintf("%d/%d", s.Type, s.TTL)
		for _, data := range s.Data {
			text += fmt.Sprintf(" %q", data)
		}
		for addr := s.Addr; addr != "" && s.Type == wire.TypeA; addr = addr[4:] {
			text += fmt.Sprintf(" .%d", addr[3])
		}
		if s.Type == wire.TypeAAAA {
			text += fmt.Sprintf(" x%d", len(s.Addr)/16)
		}
		list = append(list, text)
	}
	if node.Alias != "" {
		list = append(list, "alias "+wire.NameString([]byte(node.Alias)))
	}
	return strings.Join(list, "; ")
}

// TestNames holds the records of a name to those that CoreDNS 1.15.0 gives from the same keys.
func TestNames(t *testing.T) {
	n := written(t, map[string]string{
		"test/www/a1":            `{"host":"192.0.2.1","port":80}`,
		"test/www/a2":            `{"host":"192.0.2.2","port":81,"ttl":60,"weight":20}`,
		"test/www/a6":            `{"host":"2001:db8::1"}`,
		"test/www":               `{"host":"192.0.2.99"}`, // there are keys below it
		"test/alias":             `{"host":"WWW.test"}`,
		"test/loop/x":            `{"host":"loop.test"}`,
		"test/both/x":            `{"host":"192.0.2.9","text":"owned"}`,
		"test/text/x":            `{"host":"www.test","text":"owned"}`,
		"test/mx/m1":             `{"host":"192.0.2.5","mail":true,"priority":5,"port":-1}`,
		"test/g/a":               `{"host":"192.0.2.20","group":"g1"}`,
		"test/g/sub/c":           `{"host":"192.0.2.22","group":"g2"}`,
		"test/dns/apex/x":        `{"host":"192.0.2.80"}`,
		"test/dns/ns/n1":         `{"host":"192.0.2.53"}`,
		"test/strip/s1":          `{"host":"192.0.2.33","port":5,"targetstrip":1}`,
		"arpa/in-addr/192/0/2/1": `{"host":"www.test"}`,
		"elsewhere/www":          `{"host":"192.0.2.1"}`,
		"test/a/b/c/d":           `{"host":"192.0.2.44"}`,
	}, false)
	for name, want := range map[string]string{
		"www.test": `1/60 .1 .2; 28/300 x1; 33/60 "\x00\n\x00-\x00P\x02a1\x03www\x04test\x00" ` +
			`"\x00\n\x00\t\x00Q\x02a2\x03www\x04test\x00" "\x00\n\x00-\x00\x00\x02a6\x03www\x04test\x00"`,
		"alias.test":             `33/300 "\x00\n\x00d\x00\x00\x03www\x04test\x00"; 12/300 "\x03www\x04test\x00"; alias www.test.`,
		"x.loop.test":            `33/300 "\x00\n\x00d\x00\x00\x04loop\x04test\x00"; 12/300 "\x04loop\x04test\x00"; alias loop.test.`,
		"loop.test":              `33/300 "\x00\n\x00d\x00\x00\x04loop\x04test\x00"`,
		"both.test":              `1/300 .9; 33/300 "\x00\n\x00d\x00\x00\x01x\x04both\x04test\x00"`,
		"text.test":              `16/300 "\x05owned"`,
		"mx.test":                `1/300 .5; 15/300 "\x00\x05\x02m1\x02mx\x04test\x00"`,
		"g.test":                 `1/300 .20; 33/300 "\x00\n\x00d\x00\x00\x01a\x01g\x04test\x00"`,
		"strip.test":             `1/300 .33; 33/300 "\x00\n\x00d\x00\x05\x05strip\x04test\x00"`,
		"1.2.0.192.in-addr.arpa": `33/300 "\x00\n\x00d\x00\x00\x03www\x04test\x00"; 12/300 "\x03www\x04test\x00"`,
		"www.elsewhere":          "none",
		"b.a.test":               `1/300 .44; 33/300 "\x00\n\x00d\x00\x00\x01d\x01c\x01b\x01a\x04test\x00"`,
		"*.b.a.test":             `1/300 .44; 33/300 "\x00\n\x00d\x00\x00\x01d\x01c\x01b\x01a\x04test\x00"`,
		"any.*.a.test":           `1/300 .44; 33/300 "\x00\n\x00d\x00\x00\x01d\x01c\x01b\x01a\x04test\x00"`,
		"*.d.c.b.a.test":         "none",
		"nope.test":              "none",
	} {
		if got := describe(find(t, n, name)); got != want {
			t.Errorf("%s: got  %s\nwant %s", name, got, want)
		}
	}
	if got := describe(find(t, n, "test")); !strings.Contains(got, "1/300 .80") ||
		!strings.Contains(got, `2/300 "\x02n1\x02ns\x03dns\x04test\x00"`) {
		t.Errorf("apex: got %s", got)
	}
	// Any label below a zone stands for all records there, and not for the apex.
	for _, name := range []string{"*.test", "any.test", "any.*.test"} {
		got := describe(find(t, n, name))
		if !strings.Contains(got, "1/60 .44 .") || !strings.Contains(got, " .80") || strings.Contains(got, "2/300") {
			t.Errorf("%s: got %s", name, got)
		}
	}
}

// TestApexFallback: without apex.dns the zone's own name has all addresses, unless no_apex_fallback forbids it.
func TestApexFallback(t *testing.T) {
	keys := map[string]string{"test/a": `{"host":"192.0.2.1"}`, "test/b": `{"host":"192.0.2.2"}`}
	for noFallback, want := range map[bool]bool{false: true, true: false} {
		got := describe(find(t, written(t, keys, noFallback), "test"))
		if strings.Contains(got, ".1 .2") != want {
			t.Errorf("no_apex_fallback %v: got %s", noFallback, got)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for key, value := range map[string]string{
		"a": "{", "a/b": `{"host":"a..b"}`, "a//b": "{}", "a.b": "{}", strings.Repeat("a", 64): "{}",
		"p": `{"port":65536}`, "q": `{"priority":-1}`, "w": `{"weight":-1}`, "t": `{"ttl":-1}`,
	} {
		if r, err := parse(key, []byte(value)); err == nil {
			t.Errorf("%s = %s: got %+v", key, value, r)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("test/www/a", []byte(`{"host":"192.0.2.1","port":80,"targetstrip":9,"text":"x","mail":true}`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		if r, err := parse(key, value); err == nil {
			compile(map[string]*record{key: r}, []string{"\x04test\x00", "\x00"}, len(key)%2 == 0)
		}
	})
}

// gateway is what a source asks, for what a real etcd does rarely: the end-to-end tests have one. Each watch ends when
// the next message of it is "".
type gateway struct {
	pages  chan string // of lists
	events chan string
	asked  chan string // paths, with the token
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	select {
	case g.asked <- r.URL.Path + " " + r.Header.Get("Authorization"):
	case <-r.Context().Done():
		return
	}
	switch r.URL.Path {
	case "/v3/auth/authenticate":
		fmt.Fprint(w, `{"token":"secret"}`)
	case "/v3/lease/timetolive":
		fmt.Fprint(w, `{"grantedTTL":"7"}`)
	case "/v3/kv/range":
		page := <-g.pages
		if page == "" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprint(w, page)
	case "/v3/watch":
		for {
			select {
			case text := <-g.events:
				if text == "" {
					return
				}
				fmt.Fprintln(w, text)
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	}
}

func pair(key, value string) string {
	text, _ := json.Marshal(map[string]any{"key": []byte(key), "value": []byte(value), "lease": "5"})
	return string(text)
}

// TestSource: what is known stays while etcd fails; a cancelled watch is followed by a new list, with a new token.
func TestSource(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	g := &gateway{make(chan string, 9), make(chan string, 9), make(chan string)}
	server := httptest.NewServer(g)
	defer server.Close()
	s, err := New(Options{Zones: []string{"test."}, Path: "skydns", Endpoints: []string{server.URL}, Username: "u",
		MinLease: time.Second, MaxLease: time.Hour}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	defer func() { stop(); <-done }()
	expect := func(paths ...string) {
		t.Helper()
		for _, want := range paths {
			if got := <-g.asked; got != want {
				t.Fatalf("asked %q, want %q", got, want)
			}
		}
	}
	settled := func(name, want string) {
		t.Helper()
		for range 500 {
			if n := s.Names(); n != nil && describe(find(t, n, name)) == want {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatalf("%s: want %s", name, want)
	}
	g.pages <- `{"header":{"revision":"3"},"more":true,"kvs":[` + pair("/skydns/test/a", `{"host":"192.0.2.1","port":-1}`) + "]}"
	g.pages <- `{"header":{"revision":"4"},"kvs":[` + pair("/skydns/test/b", `{"host":"192.0.2.2","port":-1}`) + "]}"
	expect("/v3/auth/authenticate ", "/v3/kv/range secret", "/v3/lease/timetolive secret", "/v3/kv/range secret",
		"/v3/watch secret")
	settled("a.test", "1/7 .1")
	settled("b.test", "1/7 .2")
	g.events <- `{"result":{"created":true}}`
	g.events <- `{"result":{"events":[{"type":"DELETE","kv":` + pair("/skydns/test/a", "") + `},{"kv":` +
		pair("/skydns/test/c", `{"host":"192.0.2.3","port":-1}`) + `},{"kv":` + pair("/skydns/test/b", "{") + `}]}}`
	settled("a.test", "none")
	settled("b.test", "none")
	settled("c.test", "1/7 .3")
	g.pages <- "" // etcd is away
	g.events <- `{"result":{"canceled":true,"cancel_reason":"compacted"}}`
	expect("/v3/auth/authenticate ", "/v3/kv/range secret")
	expect("/v3/auth/authenticate ")
	settled("c.test", "1/7 .3")
	g.pages <- `{"header":{"revision":"9"},"kvs":[]}`
	expect("/v3/kv/range secret", "/v3/watch secret")
	settled("c.test", "none")
	if c := s.Counts(); c.Problems != 1 || c.Keys != 0 || c.Octets != 0 {
		t.Errorf("got %+v", c)
	}
}
