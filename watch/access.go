package watch

import (
	"cmp"
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/watch"
)

// access is what an API server has said of a kind: that this server may not read it, or that there is none.
type access struct {
	refused bool
	known   bool      // it has been read
	missing time.Time // since when the API server does not have the resource; zero when it has it
	gone    bool      // its objects have been forgotten
}

// absence is how long the API server must not have a resource whose objects are known before they are forgotten, and
// how often it is asked whether it has it again. An API server that starts may not have it for a moment.
const absence = 10 * time.Second

// permitted says which permission is missing, once until it is there.
func (l *lister) permitted(err error) {
	refused := apierrors.IsForbidden(err)
	if refused && !l.access.refused {
		l.log.Warn("kubernetes: a permission is missing: give the ClusterRole of this server the rule "+l.rule(),
			"kind", l.kind)
	}
	l.access.refused = refused || err != nil && l.access.refused
}

// rule is what a role needs to let this server read the kind.
func (l *lister) rule() string {
	group := cmp.Or(l.resource.Versions[0].Group, `""`)
	return fmt.Sprintf("{apiGroups: [%s], resources: [%s], verbs: [list, watch]}", group, l.kind)
}

// install calls begin, again and again as long as the API server does not have the custom resource. What is known of the
// resource ends then, and its objects are read from the beginning when it is back.
func (l *lister) install(
	ctx context.Context, begin func() (watch.Interface, error), all bool,
) (w watch.Interface, err error) {
	for {
		w, err = begin()
		l.permitted(err)
		if !l.resource.Optional || !apierrors.IsNotFound(err) {
			break
		}
		l.touch() // it has answered
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
	if l.access.known && time.Since(l.access.missing) < absence {
		return
	}
	l.access.gone = true
	l.log.Warn("kubernetes: the custom resource is not installed: there are no names of it until it is",
		"kind", l.kind, "group", l.resource.Versions[0].Group)
	l.forget()
}
