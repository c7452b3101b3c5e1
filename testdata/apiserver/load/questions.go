package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
)

// questions is how many questions there are in a list.
const questions = 200_000

// writeQuestions writes questions as dnsperf reads them. They are what pods
// ask: mostly A and AAAA of services, by the search path too, which makes
// every third a name that does not exist; some SRV and PTR.
func (s shape) writeQuestions(file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	random := rand.New(rand.NewPCG(1, 2))
	for range questions {
		i := random.IntN(s.headless + s.clusterIP)
		fmt.Fprintln(w, s.question(i, random))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// question is one about the i-th service.
func (s shape) question(i int, random *rand.Rand) string {
	name, space := s.name(i), namespaceName(i)
	k, _, endpoints := s.of(i)
	full := name + "." + space + ".svc.cluster.local"
	family := [...]string{"A", "AAAA"}[random.IntN(2)]
	switch n := random.IntN(100); {
	case n < 45:
		return full + " " + family
	case n < 60: // the first step of a search path from a pod of that namespace
		return name + "." + space + "." + space + ".svc.cluster.local " + family
	case n < 70:
		return name + "." + space + ".cluster.local " + family
	case n < 80:
		return fmt.Sprintf("none-%d.%s.svc.cluster.local %s", random.IntN(1000), space, family)
	case n < 85:
		return [...]string{"_peer", "_http"}[k] + "._tcp." + full + " SRV"
	case n < 95 && k == headless:
		return fmt.Sprintf("%s-%d.%s A", name, random.IntN(endpoints), full)
	}
	ip := s.service(i).Spec.ClusterIP
	if k == headless {
		ip = s.endpoint(i, random.IntN(endpoints), s.service(i)).Addresses[0]
	}
	return reverse(ip) + " PTR"
}

// reverse is the name of an address's PTR records.
func reverse(ip string) string {
	var a, b, c, d int
	fmt.Sscanf(ip, "%d.%d.%d.%d", &a, &b, &c, &d)
	return fmt.Sprintf("%d.%d.%d.%d.in-addr.arpa", d, c, b, a)
}
