package watch

import (
	"context"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
)

// ConfigMap is a ConfigMap of the cluster that options name, in JSON; nil if there is none. The server itself has no
// permission to read it: this is for commands that run with a user's own.
func ConfigMap(ctx context.Context, o Options, namespace, name string) ([]byte, error) {
	config, err := restConfig(o)
	if err != nil {
		return nil, err
	}
	config.ContentType, config.AcceptContentTypes = "", ""
	clients, err := newClients(config, o.Selection)
	if err != nil {
		return nil, err
	}
	content, err := clients[corev1.SchemeGroupVersion].Get().Namespace(namespace).Resource("configmaps").Name(name).
		SetHeader("Accept", "application/json").DoRaw(ctx)
	if status, is := err.(errors.APIStatus); is && status.Status().Code == http.StatusNotFound {
		return nil, nil
	}
	return content, err
}
