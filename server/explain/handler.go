package explain

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// Handler answers /explain?name=…&from=…&type=…&libc=… with a Report in JSON, or 400 with a sentence. base has all of a
// Question but these, for each request.
func Handler(base func() Question) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := base()
		w.Header().Set("Content-Type", "application/json")
		if err := q.read(r.URL.Query()); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
			return
		}
		report := Explain(r.Context(), q)
		report.Note = asksAs(r.URL.Query().Get("from"))
		json.NewEncoder(w).Encode(report)
	})
}

// asksAs says in whose place the server asks itself.
func asksAs(from string) string {
	note := "Asked as 127.0.0.1 over TCP, by the first listener: rules of acl and view for the pod do not show."
	if _, pod, is := strings.Cut(from, "/"); is {
		note += fmt.Sprintf(" Pod %.80q is not read: its dnsPolicy and dnsConfig do not show.", pod)
	}
	return note
}

func (q *Question) read(values url.Values) (err error) {
	for key := range values {
		if !slices.Contains([]string{"name", "from", "type", "libc"}, key) {
			return fmt.Errorf("%.40q is no parameter; those are name, from, type and libc", key)
		}
	}
	if q.Name, err = CheckName(values.Get("name")); err != nil {
		return fmt.Errorf("name: %w", err)
	}
	libc := Glibc
	if word := values.Get("libc"); word != "" {
		if libc, err = ParseLibc(word); err != nil {
			return fmt.Errorf("libc: %w", err)
		}
	}
	if q.Types, err = ParseTypes(values.Get("type")); err != nil {
		return fmt.Errorf("type: %w", err)
	}
	if q.From, err = CheckNamespace(values.Get("from")); err != nil {
		return fmt.Errorf("from: %w", err)
	}
	q.Stub = Pod(libc, q.From, q.Zone)
	return nil
}

// CheckName returns the name if it is one that can be asked for.
func CheckName(name string) (string, error) {
	switch {
	case name == "":
		return "", fmt.Errorf("a name is needed, such as web.prod")
	case len(name) > 254:
		return "", fmt.Errorf("a name of %d octets, and 253 is the most (RFC 1035 section 2.3.4)", len(name))
	}
	if _, ok := dns.IsDomainName(name); !ok {
		return "", fmt.Errorf("%q is not a domain name", name)
	}
	return name, nil
}

// CheckNamespace returns the namespace, of which a pod may follow behind a slash; "default" for none.
func CheckNamespace(from string) (string, error) {
	namespace, _, _ := strings.Cut(from, "/")
	if namespace == "" {
		return "default", nil
	}
	if _, ok := dns.IsDomainName(namespace); !ok || len(namespace) > 63 || strings.Contains(namespace, ".") {
		return "", fmt.Errorf("%.80q is not a namespace", namespace)
	}
	return namespace, nil
}

// ParseTypes reads a type; "" is for A and AAAA, as getaddrinfo asks.
func ParseTypes(word string) ([]uint16, error) {
	if word == "" {
		return []uint16{dns.TypeA, dns.TypeAAAA}, nil
	}
	t, ok := dns.StringToType[strings.ToUpper(word)]
	if !ok {
		return nil, fmt.Errorf("%.40q is not a type of records, such as A, AAAA or SRV", word)
	}
	if t == dns.TypeAXFR || t == dns.TypeIXFR || t == dns.TypeOPT {
		return nil, fmt.Errorf("%s is no type that a stub resolver asks for; A, AAAA or SRV are", dns.TypeToString[t])
	}
	return []uint16{t}, nil
}
