// Command load fills an API server with a cluster of a size that matters: tens
// of thousands of services with their EndpointSlices, written as the
// controllers would have. The same shape gives the same objects each time. They
// go straight into the API server's etcd, in seconds: through the API it would
// be an hour, since for each cluster IP all that are taken are counted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
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
	dir := flags.String("dir", "", "directory of a running API server, as in its own flag")
	name := flags.String("shape", "10k", "what to write: "+names)
	services := flags.Int("services", 0, "write a shape of so many services instead")
	onlyWide := flags.Bool("wide", false, "write services of 40 and of 200 endpoints instead, ten of each")
	client := flags.String("client", "", "write a pod with this address instead, and its node")
	updates := flags.Int("updates", 0, "until a signal, write slices so many times a second: those of headless services, one endpoint of which comes and goes")
	list := flags.String("names", "", "file for a dnsperf input: questions for the names of the shape; nothing is written to an API server")
	mix := flags.String("mix", "pods", "which questions: "+strings.Join(slices.Sorted(maps.Keys(mixes)), ", "))
	if err := flags.Parse(args); err != nil {
		return err
	}
	s, known := shapes[*name]
	if *services > 0 {
		s = scaled(*services)
	}
	ask := mixes[*mix]
	if !known || ask == nil || flags.NArg() > 0 || (*list == "") == (*dir == "") {
		return fmt.Errorf("want -shape (%s) and one of -dir and -names; -help has the rest", names)
	}
	switch {
	case *list != "":
		return s.writeQuestions(*list, ask)
	case *onlyWide:
		return fillWide(ctx, *dir)
	case *client != "":
		address, err := netip.ParseAddr(*client)
		if err != nil {
			return fmt.Errorf("-client: %w", err)
		}
		return fillClient(ctx, *dir, address)
	case *updates > 0:
		return s.update(ctx, *dir, *updates, out)
	}
	return s.fill(ctx, *dir, out)
}

// fill writes all objects of a shape.
func (s shape) fill(ctx context.Context, dir string, out io.Writer) error {
	began := time.Now()
	e, err := open(ctx, dir)
	if err != nil {
		return err
	}
	defer e.Close()
	endpoints := 0
	for i := range namespaces {
		e.put(namespace(i), "namespaces", namespaceName(i))
	}
	for i := range s.services() {
		service := s.service(i)
		e.put(service, "services/specs", service.Namespace, service.Name)
		if s.isClusterIP(i) {
			e.put(allocation(service), "ipaddresses", service.Spec.ClusterIP)
		}
		for _, slice := range s.slices(i, service) {
			e.put(slice, "endpointslices", slice.Namespace, slice.Name)
			endpoints += len(slice.Endpoints)
		}
	}
	if err := e.flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d services, %d endpoints in %.1f s\n", s.services(), endpoints, time.Since(began).Seconds())
	return nil
}
