package page

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// badRequest is what is wrong with a request, in a sentence.
type badRequest string

func (b badRequest) Error() string { return string(b) }

var errNotFound = errors.New("There is no such service.") //lint:ignore ST1005 a sentence for people

// respond writes an answer as JSON, or why there is none.
func respond(w http.ResponseWriter, r *http.Request, answer func(*http.Request) (any, error)) {
	value, err := answer(r)
	status := http.StatusOK
	switch {
	case errors.Is(err, errNotFound):
		status = http.StatusNotFound
	case err != nil:
		status = http.StatusBadRequest
	}
	if err != nil {
		value = map[string]string{"error": err.Error()}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(value)
}

// query reads the parameters of a request. The first mistake stays.
type query struct {
	values url.Values
	err    error
}

// newQuery fails for parameters that are not among known: a filter with a slip of the pen would filter nothing.
func newQuery(r *http.Request, known ...string) *query {
	q := &query{}
	if q.values, q.err = url.ParseQuery(r.URL.RawQuery); q.err != nil {
		q.err = badRequest("The query of the address is malformed.")
	}
	for name := range q.values {
		if !slices.Contains(known, name) {
			q.fail("There is no parameter %q; there are: %s.", cut(name), strings.Join(known, ", "))
		}
	}
	return q
}

func (q *query) fail(format string, values ...any) {
	if q.err == nil {
		q.err = badRequest(fmt.Sprintf(format, values...))
	}
}

// cut is text as a sentence quotes it.
func cut(text string) string {
	const most = 80
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}

func (q *query) text(name string, most int) string {
	text := q.values.Get(name)
	if len(text) > most {
		q.fail("%s is longer than %d octets.", name, most)
		return ""
	}
	return text
}

func (q *query) number(name string, standard, least, most int) int {
	text := q.values.Get(name)
	if text == "" {
		return standard
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		q.fail("%s is %q, and must be a number from %d to %d.", name, cut(text), least, most)
	}
	return n
}

// choice is a parameter that has one of some values, the first by default.
func (q *query) choice(name string, values ...string) string {
	text := q.values.Get(name)
	if text == "" {
		return values[0]
	}
	if !slices.Contains(values, text) {
		q.fail("%s is %q, and must be one of: %s.", name, cut(text), strings.Join(values, ", "))
	}
	return text
}

// domain is a name in wire form; nil for none.
func (q *query) domain(name string) []byte {
	text := q.values.Get(name)
	if text == "" {
		return nil
	}
	domain, err := wire.ParseName(text)
	if err != nil {
		q.fail("%q is not a domain name: %v.", cut(text), err)
	}
	return domain
}

// rcode is an rcode by its name or number; -1 for none.
func (q *query) rcode(name string) int {
	text := strings.ToUpper(q.values.Get(name))
	if text == "" {
		return -1
	}
	if n, known := dns.StringToRcode[text]; known {
		return n
	}
	if n, err := strconv.Atoi(text); err == nil && n >= 0 && n < 4096 {
		return n
	}
	q.fail("%q is not an rcode such as NXDOMAIN.", cut(text))
	return -1
}

// client is the addresses of an address or network, zero for none, or else a part of what says whose an address is.
func (q *query) client(name string) (addresses netip.Prefix, who string) {
	text := q.values.Get(name)
	if prefix, err := netip.ParsePrefix(text); err == nil {
		return prefix.Masked(), ""
	}
	if address, err := netip.ParseAddr(text); err == nil {
		address = address.Unmap()
		return netip.PrefixFrom(address, address.BitLen()), ""
	}
	if strings.Contains(text, "/") && strings.Trim(text, "0123456789abcdef.:/") == "" {
		q.fail("%q is not a network such as 10.0.0.0/8.", cut(text))
	}
	return netip.Prefix{}, q.text(name, longestWord)
}

// nameOf is a name in wire form as people write it.
func nameOf(name []byte) string { return wire.NameString(name) }

func rcodeOf(rcode uint16) string {
	if name, known := dns.RcodeToString[int(rcode)]; known {
		return name
	}
	return "RCODE" + strconv.Itoa(int(rcode))
}

func typeOf(t uint16) string { return dns.Type(t).String() }

func secondsOf(d time.Duration) float64 { return d.Seconds() }
