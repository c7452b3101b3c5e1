package main

import (
	"context"
	"fmt"

	discoveryv1 "k8s.io/api/discovery/v1"
)

// wides is how many services with so many addresses there are, beside any
// shape.
const wides = 10

// wideSizes is how many addresses they have.
var wideSizes = []int{40, 200}

// wideSpace is their namespace, which every shape has.
var wideSpace = namespaceName(0)

// wideName is the name of the i-th service of so many addresses.
func wideName(size, i int) string {
	return fmt.Sprintf("wide-%d-%d.%s.svc.cluster.local", size, i, wideSpace)
}

// fillWide writes them.
func fillWide(ctx context.Context, dir string) error {
	e, err := open(ctx, dir)
	if err != nil {
		return err
	}
	defer e.Close()
	e.objects = 1 << 32 // their UIDs are behind those of all shapes
	for n, size := range wideSizes {
		s := shape{headless: wides, headlessEndpoints: size}
		for i := range wides {
			service := s.service(i)
			service.Namespace, service.Name = wideSpace, fmt.Sprintf("wide-%d-%d", size, i)
			e.put(service, "services/specs", service.Namespace, service.Name)
			for _, slice := range s.slices(i, service) {
				moveAddresses(slice, n)
				e.put(slice, "endpointslices", slice.Namespace, slice.Name)
			}
		}
	}
	return e.flush()
}

// moveAddresses gives the endpoints of a slice addresses that no shape has, so
// that none has two names.
func moveAddresses(slice *discoveryv1.EndpointSlice, n int) {
	for i := range slice.Endpoints {
		e := &slice.Endpoints[i]
		var a, b, c, d int
		fmt.Sscanf(e.Addresses[0], "%d.%d.%d.%d", &a, &b, &c, &d)
		e.Addresses[0] = fmt.Sprintf("10.%d.%d.%d", 240+n, c, d)
	}
}
