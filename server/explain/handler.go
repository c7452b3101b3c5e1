package explain

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// Handler answers /explain?name=…&from=…&client=…&type=…&libc=… with a Report in JSON, or 400 with a sentence. base has all
// of a Question but these, for each request.
func Handler(base func() Base) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := base()
		w.Header().Set("Content-Type", "application/json")
		if err := b.read(r.URL.Query()); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
			return
		}
		json.NewEncoder(w).Encode(Explain(r.Context(), b.Question))
	})
}

// Base is what a server knows of a question before it is asked.
type Base struct {
	Question
	As func(client netip.Addr) Asker // asks in the place of a client
}

var parameters = []string{"name", "from", "client", "type", "libc"}

func (b *Base) read(values url.Values) (err error) {
	for key := range values {
		if !slices.Contains(parameters, key) {
			return fmt.Errorf("%.40q is no parameter; those are %s", key, strings.Join(parameters, ", "))
		}
	}
	if b.Name, err = CheckName(values.Get("name")); err != nil {
		return fmt.Errorf("name: %w", err)
	}
	libc := Glibc
	if word := values.Get("libc"); word != "" {
		if libc, err = ParseLibc(word); err != nil {
			return fmt.Errorf("libc: %w", err)
		}
	}
	if b.Types, err = ParseTypes(values.Get("type")); err != nil {
		return fmt.Errorf("type: %w", err)
	}
	pod := ""
	if b.From, pod, err = CheckNamespace(values.Get("from")); err != nil {
		return fmt.Errorf("from: %w", err)
	}
	b.Stub = Pod(libc, b.From, b.Zone)
	return b.place(values.Get("client"), pod)
}

// place chooses in whose place the server asks itself: that of a client, else of the pod, if its address is known.
func (b *Base) place(written, pod string) error {
	client, err := netip.ParseAddr(cmp.Or(written, Loopback.String()))
	if err != nil {
		return fmt.Errorf("client: %.60q is not an IP address", written)
	}
	known := netip.Addr{}
	if pod != "" && written == "" && b.Index != nil {
		known = b.Index.Snapshot().PodAddr(b.From, pod)
	}
	if known.IsValid() {
		client = known
	}
	client = client.Unmap().WithZone("")
	b.Ask = b.As(client)
	note := fmt.Sprintf("Asked as %s over TCP, by the first listener.", client)
	switch {
	case written != "" || known.IsValid():
	case pod != "":
		note += fmt.Sprintf(" The address of pod %q is not known here, so rules of acl and view for it, and search, do not show: client=ADDRESS "+
			"asks in its place, and with `pods verified` and `metadata` pods are known.", pod)
	default:
		note += " Rules of acl and view for the pod, and search, do not show: client=ADDRESS asks in its place."
	}
	if b.Notes = []string{note}; pod != "" {
		b.From += "/" + pod
		b.Notes = append(b.Notes, "Its dnsPolicy and dnsConfig are not read.")
	}
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
	if strings.Contains(name, "://") {
		if u, err := url.Parse(name); err == nil && u.Hostname() != "" {
			return "", fmt.Errorf("%q is a URL; its name is %q", name, u.Hostname())
		}
	}
	if host, port, ok := strings.Cut(name, ":"); ok && host != "" && port != "" && strings.Trim(port, "0123456789") == "" {
		return "", fmt.Errorf("%q is a name with a port; write %q", name, host)
	}
	if _, ok := dns.IsDomainName(name); !ok {
		return "", fmt.Errorf("%q is not a domain name", name)
	}
	return name, nil
}

// CheckNamespace reads a namespace, of which a pod may follow behind a slash; "default" for none.
func CheckNamespace(from string) (namespace, pod string, err error) {
	namespace, pod, is := strings.Cut(from, "/")
	if is && (pod == "" || namespace == "" || strings.Contains(pod, "/") || len(pod) > 253) {
		return "", "", fmt.Errorf("%.80q is not NAMESPACE or NAMESPACE/POD", from)
	}
	if namespace == "" {
		return "default", "", nil
	}
	if _, ok := dns.IsDomainName(namespace); !ok || len(namespace) > 63 || strings.Contains(namespace, ".") {
		return "", "", fmt.Errorf("%.80q is not a namespace", namespace)
	}
	return namespace, pod, nil
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
