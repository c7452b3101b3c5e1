package watch

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
)

// troubles is why an API server cannot be read at the moment, in words for whoever has to mend it. It is safe for
// concurrent use.
type troubles struct {
	log   *slog.Logger
	index *zones.Index // tells clients

	mu     sync.Mutex
	kinds  map[string]string           // plural -> the reason of its last attempt
	said   map[string]*observe.Limiter // by reason, which is most often one of all kinds
	spoken bool                        // since all was well
}

// maxSaid bounds the reasons that are remembered: texts of an API server may differ each time.
const maxSaid = 64

func newTroubles(log *slog.Logger, index *zones.Index) *troubles {
	return &troubles{log: log, index: index, kinds: map[string]string{}, said: map[string]*observe.Limiter{}}
}

// longestReason is the octets of a reason that are kept: it goes into replies too, and an API server may write any text.
const longestReason = 240

// set takes the reason why a kind cannot be read. Each reason is logged once a minute, whatever kinds it is about.
func (t *troubles) set(kind, reason string) {
	reason = strings.ToValidUTF8(printable(reason[:min(len(reason), longestReason)]), "")
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kinds[kind] != reason {
		t.kinds[kind] = reason
		t.index.SetTrouble(t.text())
	}
	limiter := t.said[reason]
	if limiter == nil {
		if len(t.said) >= maxSaid {
			clear(t.said)
		}
		limiter = new(observe.Limiter)
		t.said[reason] = limiter
	}
	omitted, ok := limiter.Allow(time.Now(), window)
	if !ok {
		return
	}
	t.spoken = true
	if omitted > 0 {
		t.log.Error("kubernetes: "+reason, "omitted", omitted)
		return
	}
	t.log.Error("kubernetes: " + reason)
}

// end takes note that a kind is read.
func (t *troubles) end(kind string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kinds[kind] == "" {
		return
	}
	delete(t.kinds, kind)
	t.index.SetTrouble(t.text())
	if len(t.kinds) == 0 && t.spoken {
		t.spoken = false
		clear(t.said)
		t.log.Info("kubernetes: the API server is read again")
	}
}

// has reports whether a kind is in trouble.
func (t *troubles) has(kind string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.kinds[kind] != ""
}

// text is all reasons, each once; "" for none.
func (t *troubles) text() string {
	reasons := slices.Sorted(maps.Values(t.kinds))
	return strings.Join(slices.Compact(reasons), "; ")
}

// reasons says what errors of an API server mean, and what to do.
type reasons struct {
	host string // of the API server, with the port
	from string // where the address and the credentials come from
}

func newReasons(o Options, host string) reasons {
	switch {
	case o.Kubeconfig != "":
		return reasons{host, "the kubeconfig " + o.Kubeconfig}
	case o.Endpoint != "":
		return reasons{host, "the Corefile (kubernetes options endpoint and tls)"}
	}
	return reasons{host, "the pod's service account"}
}

// of is one line about err, which the list or watch of a resource has ended with. It has none of client-go's words where
// the error is one that operators meet.
func (w reasons) of(err error, r *object.Resource) string {
	text := w.status(err, r)
	if text == "" {
		text = w.certificate(err)
	}
	if text == "" {
		text = w.network(err)
	}
	return "API server " + w.host + ": " + text
}

// status is about an answer of the API server; "" where err is none.
func (w reasons) status(err error, r *object.Resource) string {
	switch {
	case apierrors.IsUnauthorized(err):
		return "401 Unauthorized: the token or client certificate of " + w.from +
			" has expired or belongs to another cluster: renew it"
	case apierrors.IsForbidden(err):
		user, verb := "this server", "list and watch"
		if m := forbidden.FindStringSubmatch(err.Error()); m != nil {
			user, verb = m[1], m[2]
		}
		return fmt.Sprintf("403 Forbidden: %s may not %s %s: give its ClusterRole the rule %s", user, verb, r.Plural, rule(r))
	case apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err):
		version := r.Versions[0]
		return fmt.Sprintf("404: it has no %s of %s: install their CustomResourceDefinition, or correct the server's URL in %s",
			r.Plural, cmp.Or(version.Group, "group core")+"/"+version.Version, w.from)
	case apierrors.IsTooManyRequests(err):
		return "429 Too Many Requests: it is overloaded, or its priority and fairness gives this server too little"
	case apierrors.IsServiceUnavailable(err):
		return "503 Service Unavailable: it starts, or is overloaded"
	}
	return ""
}

// forbidden finds who may not do what in the words of an API server.
var forbidden = regexp.MustCompile(`User "([^"]+)" cannot ([a-z]+) resource`)

// rule is what a role needs to let this server read a resource.
func rule(r *object.Resource) string {
	group := cmp.Or(r.Versions[0].Group, `""`)
	return fmt.Sprintf("{apiGroups: [%s], resources: [%s], verbs: [list, watch]}", group, r.Plural)
}

// certificate is about TLS; "" where err is not.
func (w reasons) certificate(err error) string {
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var alert tls.AlertError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &authority):
		return "its certificate is signed by an authority that " + w.from +
			" does not have: give it the cluster's CA certificate, or correct the address"
	case errors.As(err, &name):
		return "its certificate is not for this name or address but for " + namesOf(name.Certificate) +
			": use one of them in " + w.from
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return validity(invalid.Cert, time.Now())
	case errors.As(err, &invalid):
		return "its certificate is not valid (" + invalid.Error() + ")"
	case errors.As(err, &alert):
		return "it refuses the TLS connection (" + alert.Error() + "): is the client certificate of " + w.from +
			" one of this cluster, and has it not expired?"
	case errors.As(err, &record) || errors.Is(err, http.ErrSchemeMismatch):
		return "it does not speak TLS: correct scheme or port in " + w.from
	}
	return ""
}

func namesOf(c *x509.Certificate) string {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) > 4 {
		names = append(names[:4], "...")
	}
	return cmp.Or(strings.Join(names, ", "), "no name at all")
}

// validity is about a certificate that is not valid now.
func validity(c *x509.Certificate, now time.Time) string {
	clock := ", and the clock of this machine says " + now.UTC().Format(time.RFC3339) + ": "
	if now.Before(c.NotBefore) {
		return "its certificate is not valid before " + c.NotBefore.UTC().Format(time.RFC3339) + clock + "set the clock"
	}
	return "its certificate has expired at " + c.NotAfter.UTC().Format(time.RFC3339) + clock +
		"renew the certificate, or set the clock"
}

// network is about the way to the API server, or what else err says.
func (w reasons) network(err error) string {
	var lookup *net.DNSError
	var path *fs.PathError
	var request *url.Error
	var timeout net.Error
	switch {
	case errors.As(err, &lookup) && lookup.IsNotFound:
		return "no such host: correct the name in " + w.from + ", or write an address"
	case errors.As(err, &lookup):
		return "its name cannot be looked up, since " + cmp.Or(lookup.Server, "the resolver") +
			" does not answer: write an address in " + w.from
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: nothing listens there: start it, or correct the address in " + w.from
	case errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH):
		return "no route to it: look at the network of this machine or pod"
	case errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded),
		errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time: is it up, and does a firewall or NetworkPolicy let this server reach it?"
	case errors.Is(err, syscall.ECONNRESET):
		return "it has cut the connection"
	case errors.As(err, &path):
		return path.Path + " cannot be read: " + path.Err.Error()
	case errors.As(err, &request):
		return oneLine(request.Err)
	}
	return oneLine(err)
}

// oneLine is the text of an error, without the Go types of client-go.
func oneLine(err error) string {
	return strings.Join(strings.Fields(goType.ReplaceAllString(err.Error(), "failed to $1 objects: ")), " ")
}

var goType = regexp.MustCompile(`failed to (list|watch) \*\S+: `)

// printable is text without what moves the cursor of a terminal.
func printable(text string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return -1
		}
		return c
	}, text)
}
