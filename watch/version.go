package watch

import (
	"context"
	"sync/atomic"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// versions lists and watches a resource in the first of its versions that the API server has. What is read of an object
// is the same in each, and so is its resource version.
type versions struct {
	clients []cache.ListerWatcherWithContext // the preferred one first
	at      atomic.Int32
}

// try calls with the client of the version that the API server had last, and with the others when it has that no more.
// The error of an API server that has none is that of the last one.
func (v *versions) try(call func(cache.ListerWatcherWithContext) error) (err error) {
	for range v.clients {
		at := v.at.Load()
		if err = call(v.clients[at]); !apierrors.IsNotFound(err) {
			return err
		}
		v.at.Store((at + 1) % int32(len(v.clients)))
	}
	return err
}

// ListWithContext implements cache.ListerWatcherWithContext.
func (v *versions) ListWithContext(ctx context.Context, options metav1.ListOptions) (list runtime.Object, err error) {
	err = v.try(func(c cache.ListerWatcherWithContext) (err error) {
		list, err = c.ListWithContext(ctx, options)
		return err
	})
	return list, err
}

// ListEach implements eachLister.
func (v *versions) ListEach(
	ctx context.Context, options metav1.ListOptions, strip cache.TransformFunc,
) (list runtime.Object, err error) {
	err = v.try(func(c cache.ListerWatcherWithContext) (err error) {
		list, err = listEach(ctx, c, options, strip)
		return err
	})
	return list, err
}

// WatchWithContext implements cache.ListerWatcherWithContext.
func (v *versions) WatchWithContext(ctx context.Context, options metav1.ListOptions) (w watch.Interface, err error) {
	err = v.try(func(c cache.ListerWatcherWithContext) (err error) {
		w, err = c.WatchWithContext(ctx, options)
		return err
	})
	return w, err
}
