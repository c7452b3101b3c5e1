package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
)

// questions is how many questions there are in a list.
const questions = 200_000

// mixes is what can be asked of a shape, each a function that returns one
// question.
var mixes = map[string]func(shape, *rand.Rand) string{
	"pods":   shape.pods,
	"ndots5": shape.ndots5,
	"40":     func(_ shape, random *rand.Rand) string { return wideName(40, random.IntN(wides)) + " A" },
	"200":    func(_ shape, random *rand.Rand) string { return wideName(200, random.IntN(wides)) + " A" },
}

// writeQuestions writes questions of a mix as dnsperf reads them.
func (s shape) writeQuestions(file string, ask func(shape, *rand.Rand) string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	random := rand.New(rand.NewPCG(1, 2))
	for range questions {
		fmt.Fprintln(w, ask(s, random))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// pods is what pods ask: mostly A and AAAA of services, by the search path too,
// which makes every third a name that does not exist; some SRV and PTR.
func (s shape) pods(random *rand.Rand) string {
	i := random.IntN(s.headless + s.clusterIP)
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
	return s.pointer(i, random)
}

// ndots5 is what pods ask that look for names of the world with the usual
// resolv.conf, whose search path is tried first: 60 % of names that do not
// exist, 20 % A, 15 % AAAA of services without IPv6, 3 % SRV, 2 % PTR.
func (s shape) ndots5(random *rand.Rand) string {
	i := random.IntN(s.headless + s.clusterIP)
	k, _, _ := s.of(i)
	space := namespaceName(i)
	full := s.name(i) + "." + space + ".svc.cluster.local"
	switch n := random.IntN(100); {
	case n < 60:
		search := [...]string{space + ".svc.cluster.local", "svc.cluster.local", "cluster.local"}[random.IntN(3)]
		return fmt.Sprintf("www%d.example.com.%s %s", random.IntN(1000), search, [...]string{"A", "AAAA"}[random.IntN(2)])
	case n < 80:
		return full + " A"
	case n < 95:
		return full + " AAAA"
	case n < 98:
		return [...]string{"_peer", "_http"}[k] + "._tcp." + full + " SRV"
	}
	return s.pointer(i, random)
}

// pointer is the question for the name of an address of the i-th service.
func (s shape) pointer(i int, random *rand.Rand) string {
	ip := s.service(i).Spec.ClusterIP
	if k, _, endpoints := s.of(i); k == headless {
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
