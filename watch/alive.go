package watch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
)

// silence is how long the API server may send nothing of a kind. It sends a bookmark every minute, so two have not come
// by then.
const silence = 150 * time.Second

// alive is when the API server last sent something of a kind: an event, a bookmark or a list. It is safe for concurrent
// use.
type alive struct {
	kind  string // plural
	since time.Time
	last  atomic.Int64 // after since, as a time.Duration
}

func newAlive(kind string) *alive { return &alive{kind: kind, since: time.Now()} }

// touch takes a sign of life. The clock is monotonic.
func (a *alive) touch() { a.last.Store(int64(time.Since(a.since))) }

// idle is the time since the last sign of life; before the first one, since the source was made.
func (a *alive) idle() time.Duration { return time.Since(a.since) - time.Duration(a.last.Load()) }

// lister lists and watches one kind on behalf of a reflector. It adds to client-go what a name server needs of an
// outage:
//   - A watch that has been idle for the time of silence is dropped, whatever keeps its connection open.
//   - A watch goes on from the last version only where the API server has come to that version, and was not away in
//     between: one that was restored from a backup takes such a watch too, and sends nothing until it has come there
//     again. What was lost is read again from the beginning, as etcd has it now.
//   - Objects are streamed, one at a time. A list is asked for only where streams are unknown or break off, and its
//     objects are taken one at a time too.
//   - Of a custom resource that the API server does not have there are no objects, until it is installed.
//   - Why it cannot be read is said in the words of operators, once for all kinds.
type lister struct {
	*alive
	client    cache.ListerWatcherWithContext
	log       *slog.Logger
	resource  *object.Resource
	forget    func() // all objects
	strip     cache.TransformFunc
	reasons   reasons
	troubles  *troubles
	failed    error // why the last stream of all objects did not begin
	access    access
	snapshots *snapshots // nil without a file
	running   sync.WaitGroup

	mu    sync.Mutex
	drop  context.CancelCauseFunc // of the watch that runs
	again bool                    // the next watch is to begin with all objects
}

// errRelist is why a watch that runs is dropped for a list.
var errRelist = errors.New("all objects are to be listed again")

// relist drops the watch that runs, and lists all objects again.
func (l *lister) relist() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.drop != nil {
		l.again = true
		l.drop(errRelist)
	}
}

// relisting reports whether to list all objects before the next watch, and takes note of how to drop that.
func (l *lister) relisting(drop context.CancelCauseFunc, all bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	again := l.again && !all
	l.drop, l.again = drop, false
	return again
}

func (l *lister) listWatch() *cache.ListWatch {
	return &cache.ListWatch{ListWithContextFunc: l.list, WatchFuncWithContext: l.watch}
}

// list is for an API server that cannot stream (before Kubernetes 1.32), or whose stream broke off.
func (l *lister) list(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	if l.failed != nil {
		return nil, l.failed
	}
	if options.ResourceVersion != "0" {
		options.ResourceVersion = "" // the latest; "0" is any, for the first list
	}
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	err := l.snapshots.admit(ctx)
	var list runtime.Object
	if err == nil {
		list, err = listEach(ctx, l.client, options, l.strip)
	}
	l.note(err)
	return list, err
}

// check returns why a watch may not go on from version; nil when it may.
func (l *lister) check(ctx context.Context, version string) error {
	list, err := l.client.ListWithContext(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return err
	}
	m, err := meta.ListAccessor(list)
	if err != nil {
		return err
	}
	if now := m.GetResourceVersion(); newer(version, now) {
		return fmt.Errorf("the API server went back from version %s to %s", version, now)
	}
	return nil
}

// watch begins a watch that ends when it has been idle for too long.
func (l *lister) watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	all := options.SendInitialEvents != nil && *options.SendInitialEvents
	if all {
		options.ResourceVersion = ""
	}
	ctx, cancel := context.WithCancelCause(ctx)
	if l.relisting(cancel, all) {
		cancel(nil)
		return nil, apierrors.NewResourceExpired(errRelist.Error()) // client-go lists then
	}
	l.running.Go(func() { l.guard(ctx, cancel) })
	w, err := l.install(ctx, func() (watch.Interface, error) { return l.begin(ctx, options, all) }, all)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		cancel(nil)
	}
	l.note(err)
	if utilnet.IsConnectionRefused(err) || all && (apierrors.IsGone(err) || apierrors.IsResourceExpired(err)) {
		// client-go handles these kinds of errors: it would go on from the last version, or list again at once
		err = errors.New(err.Error())
	}
	if all {
		l.failed = err
		if apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) { // the options are not known: an older API server
			l.failed = nil
		}
	}
	if err != nil {
		return nil, err
	}
	return &guarded{w, cancel}, nil
}

// note takes what an attempt to read has ended with. What an older API server does not know, and what client-go handles
// by reading again, is no trouble.
func (l *lister) note(err error) {
	switch {
	case err == nil:
		l.troubles.end(l.kind)
	case errors.Is(err, context.Canceled), errors.Is(err, errRelist), apierrors.IsGone(err), apierrors.IsResourceExpired(err),
		apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
	default:
		of := l.resource
		if errors.As(err, new(*identityError)) {
			of = rowOf(zones.Namespaces)
		}
		l.troubles.set(l.kind, l.reasons.of(err, of))
		l.snapshots.missing()
	}
}

func (l *lister) begin(ctx context.Context, options metav1.ListOptions, all bool) (watch.Interface, error) {
	if err := l.snapshots.admit(ctx); err != nil {
		return nil, err
	}
	if !all {
		if err := l.check(ctx, options.ResourceVersion); err != nil {
			return nil, err
		}
	}
	return l.client.WatchWithContext(ctx, options)
}

// guard calls drop when the lister has been idle for the time of silence, counted from now at the earliest, and returns
// then or when ctx ends.
func (l *lister) guard(ctx context.Context, drop context.CancelCauseFunc) {
	began := time.Now()
	for {
		idle := min(l.idle(), time.Since(began))
		if idle >= silence {
			l.log.Warn("kubernetes: API server has been idle for too long, watching again",
				"kind", l.kind, "idle", idle.Round(time.Second))
			drop(fmt.Errorf("the API server was idle for %v", idle.Round(time.Second)))
			return
		}
		select {
		case <-time.After(silence - idle):
		case <-ctx.Done():
			return
		}
	}
}

// guarded is a watch with its guard.
type guarded struct {
	watch.Interface
	cancel context.CancelCauseFunc
}

// Stop ends the watch and its guard.
func (g *guarded) Stop() {
	g.Interface.Stop()
	g.cancel(nil)
}
