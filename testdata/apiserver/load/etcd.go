package main

import (
	"context"
	"fmt"
	"os"
	"path"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
)

// etcd is the etcd of an API server, and what is on its way to it.
type etcd struct {
	*clientv3.Client
	ctx     context.Context
	puts    []clientv3.Op
	objects int
	err     error // the first one; nothing is written after it
}

// batch is how many objects go in a transaction: etcd takes no more.
const batch = 128

// written is the creation time of all objects.
var written = metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))

// open connects to the etcd of the API server in dir. Its socket is named
// relative to that directory, which becomes the current one.
func open(ctx context.Context, dir string) (*etcd, error) {
	if err := os.Chdir(dir); err != nil {
		return nil, err
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{"unix://etcd:0"}, DialTimeout: 10 * time.Second, Context: ctx})
	if err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	return &etcd{Client: client, ctx: ctx}, nil
}

// put writes an object as the API server would have, below the key that it
// would have.
func (e *etcd) put(o object, key ...string) {
	if e.err != nil {
		return
	}
	e.objects++
	o.SetUID(types.UID(fmt.Sprintf("00000000-0000-4000-9000-%012x", e.objects)))
	o.SetCreationTimestamp(written)
	data, err := encode(o)
	if err != nil {
		e.err = err
		return
	}
	e.puts = append(e.puts, clientv3.OpPut("/registry/"+path.Join(key...), string(data)))
	if len(e.puts) == batch {
		e.err = e.flush()
	}
}

// flush writes what is on its way, and returns the first error of all.
func (e *etcd) flush() error {
	if e.err != nil || len(e.puts) == 0 {
		return e.err
	}
	_, err := e.Txn(e.ctx).Then(e.puts...).Commit()
	e.puts = e.puts[:0]
	return err
}

// object is any object of Kubernetes.
type object interface {
	runtime.Object
	metav1.Object
}

// encode is an object as it is stored.
func encode(o object) ([]byte, error) {
	kinds, _, err := scheme.Scheme.ObjectKinds(o)
	if err != nil {
		return nil, err
	}
	o.GetObjectKind().SetGroupVersionKind(kinds[0])
	return runtime.Encode(protobuf.NewSerializer(scheme.Scheme, scheme.Scheme), o)
}
