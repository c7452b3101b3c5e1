package differ

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// client returns a client that nothing slows down.
func (c *cluster) client(t *testing.T) kubernetes.Interface {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	config.WarningHandler = rest.NoWarnings{}
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// load makes the world's objects, many at a time.
func (w *world) load(t *testing.T, client kubernetes.Interface) {
	t.Helper()
	ctx, create := t.Context(), metav1.CreateOptions{}
	all(t, w.namespaces, func(o *corev1.Namespace) error {
		_, err := client.CoreV1().Namespaces().Create(ctx, o, create)
		if !apierrors.IsAlreadyExists(err) {
			return err
		}
		_, err = client.CoreV1().Namespaces().Update(ctx, o, metav1.UpdateOptions{})
		return err
	})
	all(t, w.services, func(o *corev1.Service) error {
		_, err := client.CoreV1().Services(o.Namespace).Create(ctx, o, create)
		return err
	})
	w.loadImports(t, client)
	all(t, w.pods, func(o *corev1.Pod) error { return loadPod(ctx, client, o) })
	all(t, w.slices, func(o *discoveryv1.EndpointSlice) error {
		_, err := client.DiscoveryV1().EndpointSlices(o.Namespace).Create(ctx, o, create)
		return err
	})
}

// loadPod makes a pod with its status, as a kubelet would, and deletes it if
// it is to be terminating: a pod of a node stays until its kubelet agrees.
func loadPod(ctx context.Context, client kubernetes.Interface, o *corev1.Pod) error {
	pods := client.CoreV1().Pods(o.Namespace)
	made := o.DeepCopy()
	made.DeletionTimestamp = nil
	made, err := pods.Create(ctx, made, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	made.Status = o.Status
	if _, err := pods.UpdateStatus(ctx, made, metav1.UpdateOptions{}); err != nil {
		return err
	}
	if o.DeletionTimestamp == nil || o.Status.Phase == corev1.PodSucceeded || o.Status.Phase == corev1.PodFailed {
		return nil
	}
	return pods.Delete(ctx, o.Name, metav1.DeleteOptions{})
}

// unload deletes what load made, for the next seed. There is no namespace
// controller to finish a deletion, so that is done here.
func (w *world) unload(t *testing.T, client kubernetes.Interface) {
	t.Helper()
	ctx := t.Context()
	now, remove := metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}, metav1.ListOptions{LabelSelector: label + "=made"}
	spaces := append([]*corev1.Namespace{{ObjectMeta: metav1.ObjectMeta{Name: "kube-system"}}}, w.namespaces...)
	all(t, spaces, func(o *corev1.Namespace) error {
		return errors.Join(
			unloadImports(ctx, client, o.Name),
			client.CoreV1().Pods(o.Name).DeleteCollection(ctx, now, remove),
			client.DiscoveryV1().EndpointSlices(o.Name).DeleteCollection(ctx, now, remove))
	})
	all(t, w.services, func(o *corev1.Service) error { return client.CoreV1().Services(o.Namespace).Delete(ctx, o.Name, now) })
	all(t, w.namespaces, func(o *corev1.Namespace) error {
		if o.Name == "default" {
			return nil // the API server's own
		}
		if err := client.CoreV1().Namespaces().Delete(ctx, o.Name, now); err != nil {
			return err
		}
		_, err := client.CoreV1().Namespaces().Finalize(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: o.Name}}, metav1.UpdateOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	})
}

// all does something with each of a list, many at a time, again when the API
// server has too much to do.
func all[T any](t *testing.T, list []T, do func(T) error) {
	t.Helper()
	work := make(chan T)
	var running sync.WaitGroup
	for range 24 {
		running.Go(func() {
			for o := range work {
				err := do(o)
				for try := 0; try < 20 && (apierrors.IsTooManyRequests(err) || apierrors.IsConflict(err) || apierrors.IsServerTimeout(err)); try++ {
					time.Sleep(50 * time.Millisecond)
					err = do(o)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, o := range list {
		work <- o
	}
	close(work)
	running.Wait()
	if t.Failed() {
		t.FailNow()
	}
}
