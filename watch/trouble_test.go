package watch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
)

// TestReasons: what operators meet has words that say what to do.
func TestReasons(t *testing.T) {
	services := schema.GroupResource{Resource: "services"}
	asked := func(err error) error {
		return fmt.Errorf("failed to list *v1.Service: %w", &url.Error{Op: "Get", URL: "https://lab:6443/api/v1/services?x=y", Err: err})
	}
	now := time.Now()
	day := 24 * time.Hour
	leaf := func(from, to time.Time) *x509.Certificate {
		return &x509.Certificate{NotBefore: from, NotAfter: to, DNSNames: []string{"kubernetes"}, IPAddresses: []net.IP{{10, 96, 0, 1}}}
	}
	invalid := func(from, to time.Time) error {
		return asked(x509.CertificateInvalidError{Cert: leaf(from, to), Reason: x509.Expired})
	}
	for _, test := range []struct {
		err  error
		want string
	}{
		{apierrors.NewUnauthorized("Unauthorized"), "401 Unauthorized: the token or client certificate of the kubeconfig lab.conf " +
			"has expired or belongs to another cluster: renew it"},
		{apierrors.NewForbidden(services, "", errors.New(`User "dns" cannot list resource "services" in API group "" at the cluster scope`)),
			`403 Forbidden: dns may not list services: give its ClusterRole the rule {apiGroups: [""], resources: [services], verbs: [list, watch]}`},
		{apierrors.NewForbidden(services, "", nil), `403 Forbidden: this server may not list and watch services: give its ClusterRole ` +
			`the rule {apiGroups: [""], resources: [services], verbs: [list, watch]}`},
		{apierrors.NewNotFound(services, ""), "404: it has no services of group core/v1: install their CustomResourceDefinition, " +
			"or correct the server's URL in the kubeconfig lab.conf"},
		{apierrors.NewTooManyRequests("slow down", 1), "429 Too Many Requests: it is overloaded"},
		{apierrors.NewServiceUnavailable(""), "503 Service Unavailable: it starts"},
		{asked(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}), "connection refused: nothing listens there: start it, " +
			"or correct the address in the kubeconfig lab.conf"},
		{asked(&net.OpError{Err: &net.DNSError{Name: "lab", IsNotFound: true}}), "no such host: correct the name in the kubeconfig lab.conf"},
		{asked(&net.OpError{Err: &net.DNSError{Name: "lab", Server: "9.9.9.9:53", IsTimeout: true}}),
			"its name cannot be looked up, since 9.9.9.9:53 does not answer"},
		{asked(&net.OpError{Err: syscall.EHOSTUNREACH}), "no route to it"},
		{asked(context.DeadlineExceeded), "no answer in time"},
		{asked(os.ErrDeadlineExceeded), "no answer in time"},
		{asked(syscall.ECONNRESET), "it has cut the connection"},
		{asked(&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}),
			"its certificate is signed by an authority that the kubeconfig lab.conf does not have: give it the cluster's CA"},
		{asked(x509.HostnameError{Certificate: leaf(now, now), Host: "lab"}),
			"its certificate is not for this name or address but for kubernetes, 10.96.0.1: use one of them"},
		{invalid(now.Add(-2*day), now.Add(-day)), "its certificate has expired at "},
		{invalid(now.Add(day), now.Add(2*day)), "its certificate is not valid before "},
		{asked(tls.AlertError(42)), "it refuses the TLS connection (tls: bad certificate)"},
		{asked(http.ErrSchemeMismatch), "it does not speak TLS"},
		{asked(&fs.PathError{Op: "open", Path: "/token", Err: fs.ErrNotExist}), "/token cannot be read: file does not exist"},
		{asked(errors.New("odd\nthing")), "odd thing"},
		{errors.New("failed to list *watch.serviceImport: odd"), "failed to list objects: odd"},
	} {
		got := newReasons(Options{Kubeconfig: "lab.conf"}, "lab:6443").of(test.err, &object.Resources[0])
		if !strings.HasPrefix(got, "API server lab:6443: "+test.want) || strings.ContainsAny(got, "\n*") {
			t.Errorf("%v:\ngot  %s\nwant %s", test.err, got, test.want)
		}
	}
}

// TestTroublesAreToldOnce: a reason of several kinds is one line, a minute later another one, and its end has a line.
func TestTroublesAreToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		index := zones.NewIndex()
		troubles := newTroubles(slog.New(lines(&out, slog.LevelInfo)), index)
		expect := func(want string) {
			t.Helper()
			if got := index.Trouble(); got != want {
				t.Errorf("trouble %q, want %q", got, want)
			}
		}
		troubles.end("services")
		troubles.set("services", "refused")
		troubles.set("namespaces", "refused")
		expect("refused")
		time.Sleep(window)
		troubles.set("services", "refused")
		troubles.set("namespaces", "forbidden")
		expect("forbidden; refused")
		troubles.end("services")
		expect("forbidden")
		troubles.end("namespaces")
		expect("")
		for i := range 2 * maxSaid {
			troubles.set("services", fmt.Sprint("text ", i))
		}
		if len(troubles.said) > maxSaid {
			t.Errorf("%d reasons are remembered", len(troubles.said))
		}
		const want = `level=ERROR msg="kubernetes: refused"
level=ERROR msg="kubernetes: refused" omitted=1
level=ERROR msg="kubernetes: forbidden"
level=INFO msg="kubernetes: the API server is read again"
`
		if got, _, _ := strings.Cut(out.String(), `level=ERROR msg="kubernetes: text`); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	})
}
