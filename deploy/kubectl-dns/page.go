package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"

	"github.com/clusterdns/clusterdns/server"
)

// Two ways lead to the page of a pod. The API server's proxy of pods needs no kubelet, and reaches a page that listens at the
// pod's address. A port-forward reaches one on loopback, too.

// target is a pod, and who asks for it.
type target struct {
	config    *rest.Config
	http      *http.Client // with the user's credentials
	client    kubernetes.Interface
	namespace string
	pod       string
	port      int
}

// patience is how long each way may take.
const patience = 10 * time.Second

// onPage runs a command on the page of a pod of clusterdns.
func (p *plugin) onPage(ctx context.Context, words []string, out, mistakes io.Writer) (int, error) {
	t, err := p.target(ctx)
	if err != nil {
		return 1, err
	}
	base, end, proxied := t.proxy(ctx)
	if proxied != nil {
		var forwarded error
		if base, end, forwarded = t.forward(ctx, mistakes); forwarded != nil {
			return 1, t.unreachable(proxied, forwarded)
		}
	}
	defer end()
	words = append(words, "-server", base)
	name := &naming{mistakes, strings.TrimSuffix(base, "/"), "the page of pod " + t.namespace + "/" + t.pod}
	return server.Main(words, nil, out, name), nil
}

func (p *plugin) target(ctx context.Context) (*target, error) {
	t := &target{namespace: p.system, port: p.port}
	var err error
	if t.config, err = p.config.ToRESTConfig(); err != nil {
		return nil, err
	}
	if t.http, err = rest.HTTPClientFor(t.config); err != nil {
		return nil, err
	}
	if t.client, err = kubernetes.NewForConfigAndClient(t.config, t.http); err != nil {
		return nil, err
	}
	t.pod, err = p.pod(ctx, t.client)
	return t, err
}

// unreachable is why there is no way, and what to do.
func (t *target) unreachable(proxied, forwarded error) error {
	text := fmt.Sprintf("the page of pod %s/%s cannot be reached.\n  By the API server's proxy: %v\n  By a port-forward: %v\n", t.namespace,
		t.pod, proxied, forwarded)
	if apierrors.IsForbidden(proxied) {
		return errors.New(text + "One of these rules is needed in namespace " + t.namespace +
			": {apiGroups: [\"\"], resources: [pods/proxy], verbs: [get]} for a page at the pod's address, " +
			"or {apiGroups: [\"\"], resources: [pods/portforward], verbs: [create, get]}.")
	}
	return errors.New(text + fmt.Sprintf("Does the Corefile have the directive dashboard? The API server's proxy reaches it with "+
		"\"dashboard :%d\", and --dns-port says another port.", t.port))
}

// proxy serves the page on loopback, by the API server's proxy, until end is called. The path has a secret: other users of
// this machine have no part in the user's rights.
func (t *target) proxy(ctx context.Context) (base string, end func(), err error) {
	page := t.client.CoreV1().RESTClient().Get().Namespace(t.namespace).Resource("pods").
		Name(fmt.Sprintf("%s:%d", t.pod, t.port)).SubResource("proxy").URL()
	host, err := t.probe(ctx, page)
	if err != nil {
		return "", nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	secret := "/" + rand.Text()
	handler := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(page)
			r.Out.Host = host
		},
		Transport: t.http.Transport, FlushInterval: -1, ErrorLog: log.New(io.Discard, "", 0),
	}
	s := &http.Server{Handler: http.StripPrefix(secret, handler), ReadHeaderTimeout: patience}
	go s.Serve(listener)
	return "http://" + listener.Addr().String() + secret + "/", func() { s.Close() }, nil
}

// probe asks the page for a summary, and returns the Host that it answers to. The API server hands the Host on, and the page
// refuses names that are not its own.
func (t *target) probe(ctx context.Context, page *url.URL) (host string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, host := range []string{page.Host, "localhost"} {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, page.JoinPath("api/summary").String(), nil)
		if err != nil {
			return "", err
		}
		request.Host = host
		reply, err := t.http.Do(request)
		if err != nil {
			return "", fmt.Errorf("%w", errors.Unwrap(err)) // without the URL
		}
		text, err := io.ReadAll(io.LimitReader(reply.Body, 64<<10))
		reply.Body.Close()
		switch {
		case err != nil:
			return "", err
		case reply.StatusCode == http.StatusMisdirectedRequest:
			continue
		case reply.StatusCode != http.StatusOK:
			return "", refusal(reply.StatusCode, text)
		}
		return host, nil
	}
	return "", errors.New("the page refuses every Host")
}

// refusal is what an API server answers in the place of the page, or what answers at the port of the page.
func refusal(code int, text []byte) error {
	status := apierrors.StatusError{}
	if json.Unmarshal(text, &status.ErrStatus) == nil && status.ErrStatus.Kind == "Status" {
		return &status
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	return fmt.Errorf("%d %s: %.200q", code, http.StatusText(code), first)
}

// forward forwards a port of loopback to the page, until end is called.
func (t *target) forward(ctx context.Context, mistakes io.Writer) (base string, end func(), err error) {
	to := t.client.CoreV1().RESTClient().Post().Resource("pods").Namespace(t.namespace).Name(t.pod).SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(rest.CopyConfig(t.config))
	if err != nil {
		return "", nil, err
	}
	ready, failed := make(chan struct{}), make(chan error, 1)
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, to)
	f, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{fmt.Sprintf(":%d", t.port)}, ctx.Done(), ready, io.Discard, mistakes)
	if err != nil {
		return "", nil, err
	}
	go func() { failed <- f.ForwardPorts() }()
	select {
	case err := <-failed:
		return "", nil, err
	case <-time.After(patience):
		f.Close()
		return "", nil, fmt.Errorf("not within %v", patience)
	case <-ready:
	}
	ports, err := f.GetPorts()
	if err != nil {
		f.Close()
		return "", nil, err
	}
	return fmt.Sprintf("http://127.0.0.1:%d/", ports[0].Local), f.Close, nil
}
