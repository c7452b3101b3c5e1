// Command load fills an API server with a cluster of a size that matters: tens
// of thousands of services with their EndpointSlices, written as the
// controllers would have. The same shape gives the same objects each time, but
// for what the API server adds. It may be run again after it was stopped.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "load:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	names := strings.Join(slices.Sorted(maps.Keys(shapes)), ", ")
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	kubeconfig := flags.String("kubeconfig", "", "how to reach the API server")
	name := flags.String("shape", "10k", "what to write: "+names)
	writers := flags.Int("writers", 48, "how many write at a time")
	list := flags.String("names", "", "file for a dnsperf input: questions for the names of the shape; nothing is written to an API server")
	if err := flags.Parse(args); err != nil {
		return err
	}
	s, known := shapes[*name]
	if !known || flags.NArg() > 0 || *writers < 1 {
		return fmt.Errorf("want -shape (%s) and at least one of -writers, nothing else", names)
	}
	if *list != "" {
		return s.writeQuestions(*list)
	}
	client, err := connect(*kubeconfig, *writers)
	if err != nil {
		return err
	}
	return s.fill(ctx, client, *writers, out)
}

// connect makes a client with several connections: the API server takes a few
// hundred requests at a time on each, and frames of one wait for each other.
func connect(kubeconfig string, writers int) ([]kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf
	config.UserAgent = "load"
	// Without a dialer of its own each client would share the connection.
	var clients []kubernetes.Interface
	for range min(4, writers) {
		own := rest.CopyConfig(config)
		own.Dial = newDialer()
		client, err := kubernetes.NewForConfig(own)
		if err != nil {
			return nil, err
		}
		clients = append(clients, client)
	}
	return clients, nil
}

// fill writes all objects of a shape, and says how far it is.
func (s shape) fill(ctx context.Context, clients []kubernetes.Interface, writers int, out io.Writer) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	for i := range namespaces {
		if err := written(clients[0].CoreV1().Namespaces().Create(ctx, namespace(i), metav1.CreateOptions{})); err != nil {
			return err
		}
	}

	var next, endpoints atomic.Int64
	var running sync.WaitGroup
	began := time.Now()
	for w := range writers {
		client := clients[w%len(clients)]
		running.Go(func() {
			for i := int(next.Add(1)) - 1; i < s.services() && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				n, err := s.write(ctx, client, i)
				if err != nil {
					fail(err)
				}
				endpoints.Add(int64(n))
			}
		})
	}
	done := make(chan struct{})
	go func() { running.Wait(); close(done) }()
	say := func() {
		services := min(int(next.Load()), s.services())
		fmt.Fprintf(out, "%6.1fs %d of %d services, %d endpoints\n", time.Since(began).Seconds(), services, s.services(), endpoints.Load())
	}
	for tick := time.NewTicker(5 * time.Second); ; {
		select {
		case <-tick.C:
			say()
		case <-done:
			tick.Stop()
			say()
			return context.Cause(ctx)
		}
	}
}

// write writes the i-th service and its slices, and returns how many endpoints
// they have.
func (s shape) write(ctx context.Context, client kubernetes.Interface, i int) (endpoints int, err error) {
	service := s.service(i)
	if err := written(client.CoreV1().Services(service.Namespace).Create(ctx, service, metav1.CreateOptions{})); err != nil {
		return 0, err
	}
	for _, slice := range s.slices(i, service) {
		endpoints += len(slice.Endpoints)
		if err := written(client.DiscoveryV1().EndpointSlices(slice.Namespace).Create(ctx, slice, metav1.CreateOptions{})); err != nil {
			return 0, err
		}
	}
	return endpoints, nil
}

// written is the error of a creation, but for that the object is there.
func written(_ any, err error) error {
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}
