package main

import (
	"context"
	"fmt"
	"io"
	"path"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/client-go/kubernetes/scheme"
)

// mostUpdated is over how many slices the updates are spread: with 500 of them
// a second each changes twice in two seconds, away and back.
const mostUpdated = 500

// update writes slices of headless services at a rate until a signal, then each
// as it was. What changes is whether their first endpoint is ready.
func (s shape) update(ctx context.Context, dir string, rate int, out io.Writer) error {
	e, err := open(context.WithoutCancel(ctx), dir)
	if err != nil {
		return err
	}
	defer e.Close()
	updated, err := e.readSlices(s)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "ready")
	count, began := 0, time.Now()
	for tick := time.Tick(10 * time.Millisecond); ctx.Err() == nil; <-tick {
		for due := int(time.Since(began).Seconds() * float64(rate)); count < due; count++ {
			updated[count%len(updated)].flip(e)
			if (count+1)%len(updated) == 0 { // a transaction must not have a key twice
				e.err = e.flush()
			}
		}
		if err := e.flush(); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "%d updates in %.1f s\n", count, time.Since(began).Seconds())
	for _, u := range updated {
		if !u.isReady() {
			u.flip(e)
		}
	}
	return e.flush()
}

// stored is a slice as it is in etcd.
type stored struct {
	key   string
	slice *discoveryv1.EndpointSlice
}

// readSlices reads the first slice of so many headless services.
func (e *etcd) readSlices(s shape) (list []stored, err error) {
	for i := range min(s.headless, mostUpdated) {
		service := s.service(i)
		key := "/registry/" + path.Join("endpointslices", service.Namespace, fmt.Sprintf("%s-%05d", service.Name, 0))
		reply, err := e.Get(e.ctx, key)
		if err != nil {
			return nil, err
		}
		if len(reply.Kvs) == 0 {
			return nil, fmt.Errorf("no %s: is it another shape?", key)
		}
		o, _, err := scheme.Codecs.UniversalDeserializer().Decode(reply.Kvs[0].Value, nil, nil)
		if err != nil {
			return nil, err
		}
		list = append(list, stored{key, o.(*discoveryv1.EndpointSlice)})
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no headless service to update")
	}
	return list, nil
}

func (u stored) isReady() bool { return *u.slice.Endpoints[0].Conditions.Ready }

// flip writes it with the other readiness.
func (u stored) flip(e *etcd) {
	c, ready := &u.slice.Endpoints[0].Conditions, !u.isReady()
	c.Ready, c.Serving = &ready, &ready
	data, err := encode(u.slice)
	if err != nil {
		e.err = err
		return
	}
	e.puts = append(e.puts, clientv3.OpPut(u.key, string(data)))
	if len(e.puts) == batch {
		e.err = e.flush()
	}
}
