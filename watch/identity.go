package watch

import (
	"context"
	"errors"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// identity is which cluster an API server is of: the UID of its namespace kube-system. It is asked for once.
type identity struct {
	ask func(context.Context) (string, error)

	mu    sync.Mutex
	since time.Time // of the first answer
	uid   string    // "" as long as there is no such namespace
}

// get is the UID. A cluster makes the namespace while it starts: one that has none for a while is none that a file could be
// of.
func (i *identity) get(ctx context.Context) (string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.uid != "" {
		return i.uid, nil
	}
	ctx, cancel := context.WithTimeout(ctx, identityPatience)
	defer cancel()
	uid, err := i.ask(ctx)
	if err != nil {
		return "", &identityError{err}
	}
	if i.uid = uid; i.since.IsZero() {
		i.since = time.Now()
	}
	if uid == "" && time.Since(i.since) < identityPatience {
		return "", &identityError{errors.New("it has no namespace " + systemNamespace + " yet")}
	}
	return uid, nil
}

// known is the UID, "" where there is none.
func (i *identity) known() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.uid
}

// identityError is why it is not known which cluster an API server is of.
type identityError struct{ error }

func (e *identityError) Unwrap() error { return e.error }

// askIdentity asks an API server for the UID of its namespace kube-system, by a list, which the server's role allows.
func askIdentity(core rest.Interface) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		found := &corev1.NamespaceList{}
		options := metav1.ListOptions{FieldSelector: "metadata.name=" + systemNamespace}
		err := core.Get().Resource("namespaces").VersionedParams(&options, metav1.ParameterCodec).Do(ctx).Into(found)
		if err != nil || len(found.Items) == 0 {
			return "", err
		}
		return string(found.Items[0].UID), nil
	}
}
