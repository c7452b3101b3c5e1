package watch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/clusterdns/clusterdns/watch/object"
)

// apiServer is a source that lists and watches through client-go: protobuf, initial lists streamed (WatchList), objects
// stripped on arrival. It never gives up: while the API server is away the last state stays.
type apiServer struct {
	state *state
	kinds []*reflected
}

// reflected is one kind that is listed and watched.
type reflected struct {
	*cache.Reflector
	lister *lister
	logger logr.Logger
}

// retry is how long a reflector waits before it tries again: an API server that is back is to be noticed within
// seconds, and it can take two attempts a second of each of a few replicas.
var retry = wait.Backoff{Duration: 200 * time.Millisecond, Factor: 1.6, Jitter: 0.5, Steps: 20, Cap: 2 * time.Second}

func newAPIServer(s *state) (*apiServer, error) {
	config, err := restConfig(s.options)
	if err != nil {
		return nil, err
	}
	if err := s.requests.count(config); err != nil {
		return nil, err
	}
	clients, err := newClients(config, s.options.Selection)
	if err != nil {
		return nil, err
	}
	if s.options.Snapshot.Path != "" {
		s.snapshots = newSnapshots(s, config, askIdentity(clients[corev1.SchemeGroupVersion]))
	}
	a := &apiServer{state: s}
	for _, r := range object.Resources {
		if !r.When(s.options.Selection) {
			continue
		}
		selected := func(o *metav1.ListOptions) {
			o.FieldSelector = r.Fields
			o.LabelSelector = r.Selector(s.options.Selection)
		}
		has := new(versions)
		for _, v := range r.Versions {
			lw := cache.NewFilteredListWatchFromClient(clients[v], r.Plural, metav1.NamespaceAll, selected)
			has.clients = append(has.clients, &served{lw, clients[v], &r, selected})
		}
		a.kinds = append(a.kinds, s.reflect(&r, has))
	}
	s.relist = a.relist
	return a, nil
}

// relist lists all kinds again.
func (a *apiServer) relist() {
	for _, r := range a.kinds {
		r.lister.relist()
	}
}

// reflect prepares to keep one kind of s equal to what client lists and watches.
func (s *state) reflect(r *object.Resource, client cache.ListerWatcherWithContext) *reflected {
	alive := newAlive(r.Plural)
	s.alive = append(s.alive, alive)
	to := newStore(s, r, alive)
	lister := &lister{alive: alive, client: client, log: s.log, resource: r, forget: to.forget, strip: to.Transformer(), troubles: s.troubles,
		reasons: newReasons(s.options, s.requests.counts.Host), snapshots: s.snapshots}
	logger := logr.FromSlogHandler(newQuiet(s.log.Handler(), func() bool { return s.troubles.has(r.Plural) }))
	backoff := retry
	options := cache.ReflectorOptions{Logger: &logger, Name: r.Plural, TypeDescription: fmt.Sprintf("%T", r.Example), Backoff: &backoff}
	return &reflected{
		// of any type: objects arrive stripped, or as they are
		cache.NewReflectorWithOptions(lister.listWatch(), nil, to, options),
		lister,
		logger,
	}
}

// run lists and watches until ctx ends.
func (a *apiServer) run(ctx context.Context) {
	var running sync.WaitGroup
	for _, r := range a.kinds {
		running.Go(func() {
			r.RunWithContext(klog.NewContext(ctx, r.logger))
			r.lister.running.Wait()
		})
	}
	running.Wait()
}

// newClients makes a client for each API group that is read. A clientset would register every type that Kubernetes has.
// What is watched may arrive stripped by selection.
func newClients(config *rest.Config, selection object.Selection) (map[schema.GroupVersion]rest.Interface, error) {
	scheme := runtime.NewScheme()
	httpClient, err := rest.HTTPClientFor(config) // one connection for all kinds
	if err != nil {
		return nil, err
	}
	clients := map[schema.GroupVersion]rest.Interface{}
	for _, r := range object.Resources {
		for _, v := range r.Versions {
			scheme.AddKnownTypes(v, r.Example, r.List)
			if clients[v] != nil {
				continue
			}
			metav1.AddToGroupVersion(scheme, v)
			c := rest.CopyConfig(config)
			c.GroupVersion, c.APIPath = &v, "/apis"
			if v.Group == "" {
				c.APIPath = "/api"
			}
			c.NegotiatedSerializer = newCodec(scheme, selection)
			if clients[v], err = rest.RESTClientForConfigAndClient(c, httpClient); err != nil {
				return nil, err
			}
		}
	}
	return clients, nil
}

// restConfig is how to reach the API server that options name.
func restConfig(o Options) (*rest.Config, error) {
	config, err := locate(o)
	if err != nil {
		return nil, err
	}
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	config.UserAgent = "clusterdns"
	config.Dial = dialer.DialContext
	config.DisableCompression = true // of lists: packing a large one takes both ends longer than sending it, and streams are never packed
	if o.QPS > 0 {
		config.QPS = o.QPS
	}
	if o.Burst > 0 {
		config.Burst = o.Burst
	}
	if o.MaxInflight > 0 {
		config.Wrap(func(next http.RoundTripper) http.RoundTripper {
			return &inflight{next, make(chan struct{}, o.MaxInflight)}
		})
	}
	return config, nil
}

// dialer makes connections whose other end is missed after 45 seconds, as client-go's pings do over HTTP/2. Over
// HTTP/1.1, which an endpoint without TLS speaks, there are no pings, and client-go's own connections take five minutes
// for it. Each source has a connection of its own: client-go shares those of its own dialer only.
var dialer = net.Dialer{
	Timeout:         30 * time.Second,
	KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 10 * time.Second, Count: 3},
}

// NoClusterError is that Options say nothing of where the objects are, and the process runs in no cluster.
type NoClusterError struct{ error }

func locate(o Options) (*rest.Config, error) {
	switch {
	case o.Kubeconfig != "":
		content, err := os.ReadFile(o.Kubeconfig)
		if err != nil {
			return nil, fmt.Errorf("kubeconfig: %w", err)
		}
		config, err := readKubeconfig(content, o.Kubeconfig, o.Context)
		if err != nil {
			return nil, fmt.Errorf("kubeconfig %s %w", o.Kubeconfig, err)
		}
		return config, nil
	case o.Endpoint != "":
		return &rest.Config{
			Host:            o.Endpoint,
			TLSClientConfig: rest.TLSClientConfig{CertFile: o.CertFile, KeyFile: o.KeyFile, CAFile: o.CAFile},
		}, nil
	}
	config, err := rest.InClusterConfig()
	if err != nil {
		return nil, NoClusterError{err}
	}
	return config, nil
}

// CheckKubeconfig returns why the content of a kubeconfig file is no way to an API server in context ("" is its current
// one). The error follows the name of the file. Files that content names are looked for beside it, and read.
func CheckKubeconfig(content []byte, file, context string) error {
	config, err := readKubeconfig(content, file, context)
	if err != nil {
		return err
	}
	if _, err := rest.TLSConfigFor(config); err != nil {
		return fmt.Errorf("has a wrong certificate or key: %w", err)
	}
	return nil
}

func readKubeconfig(content []byte, file, context string) (*rest.Config, error) {
	config, err := clientcmd.Load(content)
	if err != nil {
		why, _, _ := strings.Cut(err.Error(), " into Go value") // the Go type helps nobody
		return nil, fmt.Errorf("is not a kubeconfig: %s", why)
	}
	names := strings.Join(slices.Sorted(maps.Keys(config.Contexts)), ", ")
	chosen := config.Contexts[cmp.Or(context, config.CurrentContext)]
	switch {
	case names == "":
		return nil, errors.New("has no contexts")
	case chosen == nil && context == "":
		return nil, fmt.Errorf("has no current-context; name one of its contexts after it: %s", names)
	case chosen == nil:
		return nil, fmt.Errorf("has no context %q, only %s", context, names)
	case config.Clusters[chosen.Cluster] == nil:
		return nil, fmt.Errorf("has no cluster %q, which its context names", chosen.Cluster)
	}
	for _, c := range config.Clusters {
		c.LocationOfOrigin = file
	}
	for _, user := range config.AuthInfos {
		user.LocationOfOrigin = file
	}
	if err := clientcmd.ResolveLocalPaths(config); err != nil {
		return nil, fmt.Errorf("names files that cannot be found: %w", err)
	}
	found, err := clientcmd.NewNonInteractiveClientConfig(
		*config,
		cmp.Or(context, config.CurrentContext),
		&clientcmd.ConfigOverrides{},
		nil,
	).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("cannot be used: %w", err)
	}
	return found, nil
}

// inflight bounds the requests that are on their way at a time (option apiserver_max_inflight). A list counts until it
// has been read, a watch, which has no end, until it is answered.
type inflight struct {
	next  http.RoundTripper
	slots chan struct{}
}

// RoundTrip is that of http.RoundTripper; it waits for a slot as long as the request may wait.
func (i *inflight) RoundTrip(r *http.Request) (*http.Response, error) {
	select {
	case i.slots <- struct{}{}:
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	release := func() { <-i.slots }
	reply, err := i.next.RoundTrip(r)
	if err != nil || isWatch(r) {
		release()
		return reply, err
	}
	reply.Body = &body{ReadCloser: reply.Body, done: sync.OnceFunc(release)}
	return reply, nil
}
