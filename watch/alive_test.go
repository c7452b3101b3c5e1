package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
)

// The tests of this file follow namespaces of an API server that is played by a function, with the reflector and the
// stream decoder of client-go between the two.

// stream is an open watch. It is what a decoder of client-go reads from.
type stream struct {
	ctx    context.Context // of the request
	events chan watch.Event
	closed chan struct{}
	once   sync.Once
}

// Decode hands on an event; the end of events is the end of the response.
func (s *stream) Decode() (watch.EventType, runtime.Object, error) {
	select {
	case e, ok := <-s.events:
		if !ok {
			return "", nil, io.EOF
		}
		return e.Type, e.Object, nil
	case <-s.ctx.Done():
		return "", nil, s.ctx.Err()
	case <-s.closed:
		return "", nil, io.EOF
	}
}

func (s *stream) Close() { s.once.Do(func() { close(s.closed) }) }

// AsObject turns an error of the decoder into an event's object.
func (s *stream) AsObject(err error) runtime.Object {
	return &apierrors.NewInternalError(err).ErrStatus
}

// send gives an event to the decoder, unless the client has gone.
func (s *stream) send(t watch.EventType, name, version string, initialEnd bool) {
	o := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, ResourceVersion: version}}
	if initialEnd {
		o.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
	}
	select {
	case s.events <- watch.Event{Type: t, Object: o}:
	case <-s.ctx.Done():
	case <-s.closed:
	}
}

// pause waits, unless the client goes.
func (s *stream) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-s.ctx.Done():
	case <-s.closed:
	}
}

// asked is one request, as "stream VERSION", "watch VERSION", "list VERSION" or "check".
type asked struct {
	what string
	at   time.Duration
}

// player is the API server of a test.
type player struct {
	began   time.Time
	watch   func(n int, s *stream, options metav1.ListOptions) error // of the n-th watch
	list    func() (*corev1.NamespaceList, error)
	now     string // the version that a check finds; "" when it is refused
	mu      sync.Mutex
	watches int
	log     []asked
}

func (p *player) note(what string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log = append(p.log, asked{what, time.Since(p.began)})
	p.watches++
	return p.watches - 1
}

func (p *player) check() (*corev1.NamespaceList, error) {
	if p.now == "" {
		return nil, fmt.Errorf("dial: %w", syscall.ECONNREFUSED)
	}
	return &corev1.NamespaceList{ListMeta: metav1.ListMeta{ResourceVersion: p.now}}, nil
}

func (p *player) requests() []asked {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.log)
}

func (p *player) client() *cache.ListWatch {
	return &cache.ListWatch{
		ListWithContextFunc: func(_ context.Context, o metav1.ListOptions) (runtime.Object, error) {
			if o.Limit == 1 {
				p.note("check " + o.ResourceVersion)
				return p.check()
			}
			p.note("list " + o.ResourceVersion)
			return p.list()
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			what := "watch "
			if o.SendInitialEvents != nil {
				what = "stream "
			}
			s := &stream{ctx: ctx, events: make(chan watch.Event), closed: make(chan struct{})}
			if err := p.watch(p.note(what+o.ResourceVersion), s, o); err != nil {
				return nil, err
			}
			return watch.NewStreamWatcherWithLogger(klog.FromContext(ctx), s, s), nil
		},
	}
}

// follow runs the reflector of namespaces against p in a bubble of its own time, until after returns.
func follow(t *testing.T, p *player, after func(s *state)) {
	t.Helper()
	kind := slices.IndexFunc(object.Resources, func(r object.Resource) bool { return r.Kind == zones.Namespaces })
	followAs(t, p, &object.Resources[kind], slog.DiscardHandler, after)
}

// followAs is follow with another description of namespaces, and with what is logged.
func followAs(t *testing.T, p *player, r *object.Resource, log slog.Handler, after func(s *state)) {
	t.Helper()
	defer oneHandler()()
	synctest.Test(t, func(t *testing.T) {
		s, err := newState(Options{}, zones.NewIndex(), slog.New(log))
		if err != nil {
			t.Fatal(err)
		}
		a := &apiServer{state: s, kinds: []*reflected{s.reflect(r, p.client())}}
		s.relist = a.relist
		p.began = time.Now()
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { a.run(ctx) })
		after(s)
		stop()
		running.Wait()
	})
}

// oneHandler takes away what keeps a process from handling errors too fast, until restore is called: it would have a
// bubble wait for the clock of the last one.
func oneHandler() (restore func()) {
	all := utilruntime.ErrorHandlers
	utilruntime.ErrorHandlers = all[:1]
	return func() { utilruntime.ErrorHandlers = all }
}

// names are the namespaces held, in order.
func (s *state) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for k := range s.namespaces.byKey {
		all = append(all, k.Name)
	}
	slices.Sort(all)
	return all
}

// begin sends one namespace and the bookmark that ends a stream of all objects.
func (s *stream) begin(version string) {
	s.send(watch.Added, "prod", "1", false)
	s.send(watch.Bookmark, "", version, true)
}

// expectRequests compares the requests of a test and the time between each and the one before, which may be longer by
// some retries.
func expectRequests(t *testing.T, p *player, want ...asked) {
	t.Helper()
	got := p.requests()
	if len(got) != len(want) {
		t.Fatalf("requests %v, want %v", got, want)
	}
	for i := range want {
		if late := got[i].at - want[i].at; got[i].what != want[i].what || late < 0 || late > 5*time.Second {
			t.Errorf("request %d: %v, want %v", i, got[i], want[i])
		}
	}
}

func TestIdleWatchBeginsAgain(t *testing.T) {
	p := &player{watch: func(_ int, s *stream, _ metav1.ListOptions) error {
		go s.begin("10")
		return nil
	}}
	follow(t, p, func(s *state) {
		time.Sleep(2*silence + 10*time.Second)
		if idle := s.alive[0].idle(); idle < 5*time.Second || idle > silence {
			t.Errorf("idle for %v", idle)
		}
	})
	expectRequests(t, p, asked{"stream ", 0}, asked{"stream ", silence}, asked{"stream ", 2 * silence})
}

func TestBookmarksKeepAWatch(t *testing.T) {
	p := &player{watch: func(_ int, s *stream, _ metav1.ListOptions) error {
		go func() {
			s.begin("10")
			for i := range 60 {
				s.pause(time.Minute)
				s.send(watch.Bookmark, "", fmt.Sprint(11+i), false)
			}
		}()
		return nil
	}}
	follow(t, p, func(s *state) {
		time.Sleep(30*time.Minute + time.Second)
		if idle := s.alive[0].idle(); idle != time.Second {
			t.Errorf("idle for %v, want 1s", idle)
		}
	})
	expectRequests(t, p, asked{"stream ", 0})
}

// TestEventsKeepAStreamOfAll: the objects of a large cluster may take longer than silence.
func TestEventsKeepAStreamOfAll(t *testing.T) {
	p := &player{watch: func(_ int, s *stream, _ metav1.ListOptions) error {
		go func() {
			for i := range 10 {
				s.send(watch.Added, fmt.Sprint("ns-", i), "1", false)
				s.pause(time.Minute)
			}
			s.send(watch.Bookmark, "", "10", true)
		}()
		return nil
	}}
	follow(t, p, func(s *state) {
		time.Sleep(10*time.Minute + time.Second)
		if n := len(s.names()); n != 10 {
			t.Errorf("%d namespaces, want 10", n)
		}
	})
	expectRequests(t, p, asked{"stream ", 0})
}

// TestRequestWithoutAnAnswerIsRepeated plays a connection that takes requests and never answers.
func TestRequestWithoutAnAnswerIsRepeated(t *testing.T) {
	p := &player{watch: func(n int, s *stream, _ metav1.ListOptions) error {
		if n == 0 {
			<-s.ctx.Done()
			return s.ctx.Err()
		}
		go s.begin("10")
		return nil
	}}
	follow(t, p, func(s *state) {
		time.Sleep(silence + 5*time.Second)
		if got := s.names(); !slices.Equal(got, []string{"prod"}) {
			t.Errorf("namespaces %q", got)
		}
	})
	expectRequests(t, p, asked{"stream ", 0}, asked{"stream ", silence})
}

func TestOrdinaryEndGoesOnFromTheLastVersion(t *testing.T) {
	p := &player{now: "12", watch: func(n int, s *stream, _ metav1.ListOptions) error {
		go func() {
			if n == 0 {
				s.begin("10")
				s.pause(time.Minute)
				s.send(watch.Added, "next", "12", false)
				close(s.events)
			}
		}()
		return nil
	}}
	follow(t, p, func(*state) { time.Sleep(2 * time.Minute) })
	expectRequests(t, p, asked{"stream ", 0}, asked{"check ", time.Minute}, asked{"watch 12", time.Minute})
}

// TestRestoredAPIServerIsReadAgain: what answers may be an API server on a backup, even where no request failed in
// between. It would not send anything until its versions have passed those of before.
func TestRestoredAPIServerIsReadAgain(t *testing.T) {
	p := &player{now: "20", watch: func(n int, s *stream, _ metav1.ListOptions) error {
		go func() {
			if n == 0 {
				s.begin("1000")
				s.send(watch.Added, "lost", "1001", false)
				s.pause(time.Minute)
				close(s.events)
				return
			}
			s.begin("20")
		}()
		return nil
	}}
	follow(t, p, func(s *state) {
		time.Sleep(70 * time.Second)
		if got := s.names(); !slices.Equal(got, []string{"prod"}) {
			t.Errorf("namespaces %q", got)
		}
	})
	expectRequests(t, p, asked{"stream ", 0}, asked{"check ", time.Minute}, asked{"stream ", time.Minute})
}

// TestLostAPIServerIsReadAgain: what answers after a refused connection may be an API server on a backup that has come
// to the last version by now, on another way. So nothing is continued, and the stream is of the latest version, not of
// one at least as new as the last.
func TestLostAPIServerIsReadAgain(t *testing.T) {
	p := &player{watch: func(n int, s *stream, o metav1.ListOptions) error {
		switch {
		case n == 0:
			go func() {
				s.begin("1000")
				s.send(watch.Added, "lost", "1001", false)
				s.pause(time.Minute)
				close(s.events)
			}()
		case n < 4:
			return fmt.Errorf("dial: %w", syscall.ECONNREFUSED)
		case o.SendInitialEvents != nil:
			go s.begin("20")
		}
		return nil
	}}
	follow(t, p, func(s *state) {
		time.Sleep(70 * time.Second)
		if got := s.names(); !slices.Equal(got, []string{"prod"}) {
			t.Errorf("namespaces %q", got)
		}
	})
	expectRequests(t, p, asked{"stream ", 0}, asked{"check ", time.Minute}, asked{"stream ", time.Minute},
		asked{"stream ", time.Minute}, asked{"stream ", time.Minute})
}

func TestListIsForServersWithoutStreams(t *testing.T) {
	status := func(code int32, reason metav1.StatusReason) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{Code: code, Reason: reason}}
	}
	gr := schema.GroupResource{Resource: "namespaces"}
	for _, test := range []struct {
		name  string
		err   error
		lists bool
	}{
		{"Invalid", apierrors.NewInvalid(schema.GroupKind{Kind: "ListOptions"}, "", nil), true},
		{"BadRequest", apierrors.NewBadRequest("sendInitialEvents"), true},
		{"Forbidden", apierrors.NewForbidden(gr, "", errors.New("no")), false},
		{"InternalError", apierrors.NewInternalError(errors.New("no")), false},
		{"Unavailable", apierrors.NewServiceUnavailable("no"), false},
		{"Gone", status(410, metav1.StatusReasonGone), false},
		{"Expired", status(410, metav1.StatusReasonExpired), false},
		{"TooManyRequests", apierrors.NewTooManyRequests("no", 1), false},
		{"Refused", syscall.ECONNREFUSED, false},
		{"Reset", syscall.ECONNRESET, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := &player{
				now: "7",
				watch: func(_ int, s *stream, o metav1.ListOptions) error {
					if o.SendInitialEvents != nil {
						return test.err
					}
					return nil
				},
				list: func() (*corev1.NamespaceList, error) {
					return &corev1.NamespaceList{ListMeta: metav1.ListMeta{ResourceVersion: "7"}}, nil
				},
			}
			follow(t, p, func(s *state) {
				time.Sleep(30 * time.Second)
				s.mu.Lock()
				defer s.mu.Unlock()
				if synced := s.synced != 0; synced != test.lists {
					t.Errorf("synced %t, want %t", synced, test.lists)
				}
			})
			got := p.requests()
			if test.lists {
				expectRequests(t, p, asked{"stream ", 0}, asked{"list 0", 0}, asked{"check ", 0}, asked{"watch 7", 0})
				return
			}
			// Whatever the reason, attempts are as far apart as retry has it, up to 3 s each.
			if len(got) < 12 || len(got) > 30 {
				t.Errorf("%d attempts in 30 s: %v", len(got), got)
			}
			if i := slices.IndexFunc(got, func(a asked) bool { return a.what != "stream " }); i >= 0 {
				t.Errorf("request %v", got[i])
			}
		})
	}
}

// TestBrokenStreamIsListed: what breaks the stream may be one object, and a list is decoded in another way. The list is
// of the latest version too.
func TestBrokenStreamIsListed(t *testing.T) {
	p := &player{
		now: "30",
		watch: func(n int, s *stream, _ metav1.ListOptions) error {
			go func() {
				switch n {
				case 0:
					s.begin("1000")
					s.pause(time.Minute)
					s.send(watch.Error, "", "", false)
				case 1:
					s.send(watch.Error, "", "", false)
				}
			}()
			return nil
		},
		list: func() (*corev1.NamespaceList, error) {
			return &corev1.NamespaceList{ListMeta: metav1.ListMeta{ResourceVersion: "30"}}, nil
		},
	}
	follow(t, p, func(*state) { time.Sleep(70 * time.Second) })
	expectRequests(
		t,
		p,
		asked{"stream ", 0},
		asked{"stream ", time.Minute},
		asked{"list ", time.Minute},
		asked{"check ", time.Minute},
		asked{"watch 30", time.Minute},
	)
}

// TestHungListIsRepeated plays an API server without streams that takes the request and never answers.
func TestHungListIsRepeated(t *testing.T) {
	l := &lister{alive: newAlive("namespaces"), resource: &object.Resources[0],
		troubles: newTroubles(slog.New(slog.DiscardHandler), zones.NewIndex()), client: &cache.ListWatch{
			ListWithContextFunc: func(ctx context.Context, _ metav1.ListOptions) (runtime.Object, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
		}}
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if _, err := l.list(t.Context(), metav1.ListOptions{}); !errors.Is(err, context.DeadlineExceeded) ||
			time.Since(began) != silence {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}
