package watch

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/watch"
)

// access is whether an API server has a kind.
type access struct {
	known   bool      // it has been read
	missing time.Time // since when the API server does not have the resource; zero when it has it
	gone    bool      // its objects have been forgotten
}

// absence is how long the API server must not have a resource whose objects are known before they are forgotten, and
// how often it is asked whether it has it again. An API server that starts may not have it for a moment.
const absence = 10 * time.Second

// install calls begin, again and again as long as the API server does not have the custom resource. What is known of the
// resource ends then, and its objects are read from the beginning when it is back.
func (l *lister) install(
	ctx context.Context, begin func() (watch.Interface, error), all bool,
) (w watch.Interface, err error) {
	for {
		w, err = begin()
		if !l.resource.Optional || !apierrors.IsNotFound(err) {
			break
		}
		l.touch() // it has answered, and what it said before holds no longer
		l.troubles.end(l.kind)
		l.lack()
		select {
		case <-time.After(absence):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if err != nil {
		return nil, err
	}
	gone := l.access.gone
	if l.access = (access{known: true}); gone {
		l.log.Info("kubernetes: the custom resource is installed", "kind", l.kind)
	}
	if gone && !all {
		w.Stop()
		return nil, apierrors.NewResourceExpired(errRelist.Error())
	}
	return w, nil
}

// lack takes note that the API server does not have the resource.
func (l *lister) lack() {
	if l.access.gone {
		return
	}
	if l.access.missing.IsZero() {
		l.access.missing = time.Now()
	}
	if (l.access.known || l.snapshots.holds(l.resource.Kind)) && time.Since(l.access.missing) < absence {
		return
	}
	l.access.gone = true
	l.log.Warn("kubernetes: the custom resource is not installed: there are no names of it until it is",
		"kind", l.kind, "group", l.resource.Versions[0].Group)
	l.forget()
}
