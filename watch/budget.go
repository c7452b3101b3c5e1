package watch

import (
	"fmt"
	"math"
	"runtime/debug"
	"strings"
	"time"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
)

// A budget keeps one tenant from the memory of all: what a namespace takes, for its objects and for their records, is
// bounded. What is over it is left out: the log names the object or the service, a problem is counted, and the Extended
// DNS Error of a name of the namespace that is missing says so. What is left out is not remembered, but for services
// whose objects are held; once there is room again it is read or compiled anew, a minute later at most.

// space is what a namespace takes.
type space struct {
	name      string                  // one text for all that is held
	objects   int                     // octets of those that are held
	records   int                     // octets
	left      map[zones.Kinds]int     // objects that were left out since the last whole list of their kind
	waiting   map[object.Key]struct{} // services whose records were left out
	published bool                    // the index knows that something was left out
}

const (
	// leastBudget is several times what a namespace of the size takes that Kubernetes is made for: 5,000 services, 3,000
	// pods.
	leastBudget = 32 << 20
	// ampleBudget is for a process without a limit of memory.
	ampleBudget = 128 << 20
	// budgetShare is how many namespaces at their budget fill the memory that the process may take.
	budgetShare = 4
	// retryBudget is how often it is looked whether there is room again.
	retryBudget = time.Minute
)

// newBudget is how many octets a namespace may take: a share of Go's limit of memory (GOMEMLIMIT).
func newBudget() int {
	limit := debug.SetMemoryLimit(-1)
	if limit == math.MaxInt64 {
		return ampleBudget
	}
	return int(max(leastBudget, limit/budgetShare))
}

// sized are the objects that a budget is for. Pods are not: each has an address of the cluster's, so there are no more
// than nodes take.
type sized interface{ Size() int }

func sizeOf(o any) int {
	if o, ok := o.(sized); ok {
		return o.Size()
	}
	return 0
}

// space is that of a namespace.
func (s *state) space(namespace string) *space {
	n := s.spaces[namespace]
	if n == nil {
		n = &space{name: namespace}
		s.spaces[namespace] = n
	}
	return n
}

// takes notes that a namespace takes more octets, or less.
func (s *state) takes(namespace string, objects, records int) {
	n := s.space(namespace)
	n.objects, n.records = n.objects+objects, n.records+records
	s.forgetEmpty(namespace, n)
}

// forgetEmpty forgets a space that there is nothing to say of any more.
func (s *state) forgetEmpty(namespace string, n *space) {
	if n.objects+n.records <= 0 && !n.over() && !n.published {
		delete(s.spaces, namespace)
	}
}

// over reports whether something was left out.
func (n *space) over() bool { return len(n.left)+len(n.waiting) > 0 }

// fits reports whether a namespace may take so many octets more. Objects leave half of the budget to records.
func (s *state) fits(namespace string, objects, records int) bool {
	if objects <= 0 && records <= 0 {
		return true
	}
	n := s.space(namespace)
	return n.objects+objects <= s.budget/2 && n.objects+objects+n.records+records <= s.budget
}

// set holds an object in the place of another with its key, unless the budget of its namespace is spent; then it holds
// neither.
func (s *state) set(kind zones.Kinds, o object.Object) {
	held := s.kinds[kind]
	k, _ := o.About()
	if s.fits(k.Namespace, sizeOf(o)-sizeOf(held.held(k)), 0) {
		if n := s.spaces[k.Namespace]; n != nil {
			object.SetNamespace(o, n.name)
		}
		held.set(o)
		return
	}
	held.drop(k)
	n := s.space(k.Namespace)
	if n.left == nil {
		n.left = map[zones.Kinds]int{}
	}
	n.left[kind]++
	s.overChanged = true
	s.leftOut(kindName(o), k)
}

// leftOut complains about an object or the records of a service.
func (s *state) leftOut(kind string, k object.Key) {
	words := fmt.Sprintf("left out, because a namespace may take %d MiB of memory", s.budget>>20)
	s.complain([]object.Problem{{Kind: kind, Key: k, Words: words}})
}

func kindName(o object.Object) string {
	switch o := o.(type) {
	case *object.Slice:
		return "slice"
	case *object.Ingress:
		return "ingress"
	case *object.KeptGateway:
		return "gateway"
	case *object.Records:
		return "dnsendpoint"
	case *object.Route:
		return strings.ToLower(o.Kind)
	}
	return "service"
}

// publishRecords publishes the records of a service, unless the budget of its namespace is spent; then the service has no
// names.
func (s *state) publishRecords(tx *zones.Tx, k object.Key, r *zones.ServiceRecords) {
	more := r.Size() - tx.Size(r.Owner())
	if s.fits(k.Namespace, 0, more) {
		tx.SetService(r)
		s.takes(k.Namespace, 0, more)
		s.served(k)
		return
	}
	s.wait(k)
	s.takes(k.Namespace, 0, -tx.DropService(k.Namespace, k.Name))
}

// wait notes that a service waits for room.
func (s *state) wait(k object.Key) {
	n := s.space(k.Namespace)
	if n.waiting == nil {
		n.waiting = map[object.Key]struct{}{}
	}
	n.waiting[k] = struct{}{}
	s.overChanged = true
	s.leftOut("service", k)
}

// served notes that a service waits for room no more.
func (s *state) served(k object.Key) {
	if n := s.spaces[k.Namespace]; n != nil && len(n.waiting) > 0 {
		delete(n.waiting, k)
		s.overChanged = true
	}
}

// dropRecords removes the records of a service.
func (s *state) dropRecords(tx *zones.Tx, k object.Key) {
	s.takes(k.Namespace, 0, -tx.DropService(k.Namespace, k.Name)-tx.DropExternal(k.Namespace, k.Name))
	s.served(k)
}

// publishExternal publishes what a service is called outside the cluster, unless the budget of its namespace is spent.
func (s *state) publishExternal(tx *zones.Tx, n *object.Service) {
	r, err := compileExternal(&s.builder, n, s.byService[n.Key], s.options)
	if err != nil || r == nil {
		s.takes(n.Namespace, 0, -tx.DropExternal(n.Namespace, n.Name))
		return
	}
	if was := tx.ExternalSize(r.Owner()); s.fits(n.Namespace, 0, r.Size()-was) {
		s.takes(n.Namespace, 0, tx.SetExternal(r))
		return
	}
	s.wait(n.Key)
	s.takes(n.Namespace, 0, -tx.DropExternal(n.Namespace, n.Name))
}

// publishOver lets the index know in which namespaces something was left out.
func (s *state) publishOver(tx *zones.Tx) {
	if !s.overChanged {
		return
	}
	s.overChanged = false
	for name, n := range s.spaces {
		if over := n.over(); over != n.published {
			n.published = over
			tx.SetOver(name, over)
		}
		s.forgetEmpty(name, n)
	}
}

// forgetLeft forgets what was left out of a kind before a whole list of it is taken.
func (s *state) forgetLeft(kind zones.Kinds) {
	for _, n := range s.spaces {
		if n.left[kind] > 0 {
			delete(n.left, kind)
			s.overChanged = true
		}
	}
}

// retry brings back what was left out of namespaces that take less than three quarters of their budget now: services
// are compiled, and where objects were left out, all are listed again.
func (s *state) retry() {
	s.mu.Lock()
	compile, list := false, false
	for _, n := range s.spaces {
		if !n.over() || n.objects > s.budget/8*3 || n.objects+n.records > s.budget/4*3 {
			continue
		}
		for k := range n.waiting {
			s.dirty[k] = struct{}{}
			compile = true
		}
		list = list || len(n.left) > 0
	}
	s.mu.Unlock()
	if compile {
		s.change(func() {})
	}
	if list && s.relist != nil {
		s.relist()
	}
}

// overBudgets is how many namespaces are over their budget.
func (s *state) overBudgets() (count int) {
	for _, n := range s.spaces {
		if n.over() {
			count++
		}
	}
	return count
}
