package e2e

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/clusterdns/clusterdns/testdata/apiserver/faults"
)

// The faults that a proxy makes. Each begins with a server that is ready.

// notices waits until a service that has been created is served, and then for
// the rest of the index.
func (s *subject) notices(t *testing.T, fault, created string, within time.Duration) {
	t.Helper()
	began := time.Now()
	var stalest time.Duration
	for s.ask(t, "udp", created, dns.TypeA).Rcode != dns.RcodeSuccess {
		if time.Since(began) > within {
			t.Fatalf("a new service was not noticed within %v", within)
		}
		stalest = max(stalest, s.stale(t, "services"))
		time.Sleep(50 * time.Millisecond)
	}
	t.Logf("%s: a new service was answered after %v; the metric had risen to %v", fault, since(began), stalest.Round(time.Second))
	if floor := time.Since(began) - 5*time.Second; stalest < floor {
		t.Errorf("the stale metric rose to %v, want at least %v", stalest, floor)
	}
	s.equalsAPI(t, healed)
	s.isReady(t, true)
}

// darkConnection: a firewall forgets a connection, and a network is away for a
// while. HTTP/2 asks for a sign of life after 30 s and waits 15 s for it.
func darkConnection(t *testing.T, s *subject) {
	load := s.load(t)
	s.proxy.Dark(true)
	s.proxy.Stall()
	s.create(t, dualStack("new")) // which the load does not ask for
	time.AfterFunc(20*time.Second, func() { s.proxy.Dark(false) })
	s.notices(t, "dark for ever, the network for 20 s", s.name("new"), time.Minute)
	load.end(t)
}

// darkOldConnection is the same behind a proxy that speaks HTTP/1.1, which has
// no such question; the proxy's own kernel goes on answering keepalives, so the
// bookmarks that do not come are the only sign.
func darkOldConnection(t *testing.T, s *subject) {
	load := s.load(t)
	s.proxy.Stall()
	s.create(t, dualStack("new"))
	s.notices(t, "dark for ever, HTTP/1.1", s.name("new"), 3*time.Minute)
	load.end(t)
}

// silentWatch: the API server lives, and all watches of this moment are open,
// but nothing comes out of them.
func silentWatch(t *testing.T, s *subject) {
	began := time.Now()
	s.proxy.Set(faults.Fault{Frame: func(r *faults.Request, frame []byte, w io.Writer) error {
		if r.At.Before(began) {
			return nil
		}
		_, err := w.Write(frame)
		return err
	}})
	load := s.load(t)
	s.create(t, dualStack("new"))
	s.notices(t, "open, without events and bookmarks", s.name("new"), 3*time.Minute)
	load.end(t)
}

// goneStorm: every watch is refused with 410, as a status or as its first event,
// whether it begins with all objects or not.
func goneStorm(t *testing.T, s *subject) {
	const storm = 10 * time.Second
	gone := faults.Status(http.StatusGone, metav1.StatusReasonExpired)
	var n atomic.Int64
	before := len(s.proxy.Requests())
	s.proxy.Set(faults.Fault{Answer: func(r *faults.Request) *faults.Response {
		if !r.IsWatch() {
			return nil
		}
		if n.Add(1)%2 == 0 {
			return gone
		}
		return faults.Events(faults.Event("ERROR", gone.Body))
	}})
	load := s.load(t)
	s.proxy.Drop()
	time.Sleep(storm)
	asked := len(s.proxy.Requests()) - before
	load.end(t)
	s.change(t)
	s.proxy.Set(faults.Fault{})
	t.Logf("410 for every watch: %d requests in %v; equal %v after it", asked, storm, s.equalsAPI(t, healed))
	// Four kinds; each is listed when a stream breaks off.
	if asked > 150 {
		t.Errorf("%d requests in a storm of %v", asked, storm)
	}
}

// overload: too many requests, then an API server that fails.
func overload(t *testing.T, s *subject) {
	const each = 6 * time.Second
	for _, answer := range []*faults.Response{
		faults.Status(http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests, "Retry-After", "1"),
		faults.Status(http.StatusInternalServerError, metav1.StatusReasonInternalError),
		faults.Status(http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, "Retry-After", "1"),
		{Code: http.StatusBadGateway, Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte("<html>bad gateway</html>")},
	} {
		load := s.load(t)
		before := len(s.proxy.Requests())
		s.proxy.Set(faults.Fault{Answer: func(*faults.Request) *faults.Response { return answer }})
		s.proxy.Drop()
		time.Sleep(each)
		asked := len(s.proxy.Requests()) - before
		load.end(t)
		s.change(t)
		s.proxy.Set(faults.Fault{})
		t.Logf("%d for every request: %d requests in %v; equal %v after it", answer.Code, asked, each, s.equalsAPI(t, healed))
		if asked > 100 {
			t.Errorf("%d requests in %v", asked, each)
		}
	}
}

// brokenProtobuf: events that are cut off, and events that are no protobuf, in a
// watch that goes on and among the first objects.
func brokenProtobuf(t *testing.T, s *subject) {
	for _, broken := range []struct {
		name   string
		hidden bool // the client waits for more, so that only a new connection can be expected to mend it
		write  func(frame []byte, w io.Writer) error
	}{
		{"cut off", false, func(frame []byte, w io.Writer) error {
			w.Write(frame[:len(frame)/2])
			return io.ErrUnexpectedEOF
		}},
		{"without its end", false, func(frame []byte, w io.Writer) error {
			_, err := w.Write(faults.Frame(frame[4 : len(frame)*2/3]))
			return err
		}},
		{"of noise", false, func(frame []byte, w io.Writer) error {
			_, err := w.Write(faults.Frame([]byte(strings.Repeat("\xff\x07noise", 20))))
			return err
		}},
		{"of a length beyond all bounds", true, func(_ []byte, w io.Writer) error {
			_, err := w.Write([]byte("\xff\xff\xff\xffnoise"))
			return err
		}},
	} {
		load := s.load(t)
		// Every third event is broken, whatever it is, for a while.
		var n atomic.Int64
		s.proxy.Set(faults.Fault{Frame: func(_ *faults.Request, frame []byte, w io.Writer) error {
			if n.Add(1)%3 == 0 {
				return broken.write(frame, w)
			}
			_, err := w.Write(frame)
			return err
		}})
		for range 5 {
			s.create(t, dualStack(fmt.Sprintf("broken-%d", time.Now().UnixNano())))
			time.Sleep(200 * time.Millisecond)
		}
		s.proxy.Set(faults.Fault{})
		if broken.hidden {
			s.proxy.Drop()
		}
		t.Logf("every third of %d events %s: equal %v after it", n.Load(), broken.name, s.equalsAPI(t, healed))
		load.end(t)
	}
	if n := s.metric(t, "coredns_panics_total"); n != 0 {
		t.Errorf("%v panics", n)
	}
}

// repeatedEvents: each event comes twice, and after it all events of its watch
// from the beginning, but for the deletions, which would mend what the others
// had brought back.
func repeatedEvents(t *testing.T, s *subject) {
	var mu sync.Mutex
	past := map[*faults.Request][]byte{}
	var n atomic.Int64
	s.proxy.Set(faults.Fault{Frame: func(r *faults.Request, frame []byte, w io.Writer) error {
		e, err := faults.Decode(frame)
		if err != nil {
			return err
		}
		mu.Lock()
		if e.Type == "ADDED" || e.Type == "MODIFIED" {
			past[r] = append(past[r], frame...)
		}
		again := slices.Concat(frame, past[r])
		mu.Unlock()
		if e.Type == "BOOKMARK" || r.IsStream() && e.Type == "ADDED" {
			again = nil // the bookmark that ends the first objects comes once, and these are no events
		}
		n.Add(int64(len(again)))
		_, err = w.Write(append(frame, again...))
		return err
	}})
	for i := range 30 {
		// The same few services come and go with other addresses.
		name := fmt.Sprint("again-", i%3)
		if i >= 3 {
			s.delete(t, name)
		}
		s.create(t, dualStack(name))
		s.move(t)
	}
	for i := range 2 {
		s.delete(t, fmt.Sprint("again-", i)) // must not come back
	}
	took := s.equalsAPI(t, healed)
	time.Sleep(time.Second) // for what comes behind
	s.equalsAPI(t, 0)
	t.Logf("%d octets of events repeated: equal %v after the last", n.Load(), took)
	s.proxy.Drop() // and the same from the beginning
	s.move(t)
	s.equalsAPI(t, healed)
	time.Sleep(time.Second)
	s.equalsAPI(t, 0)
}

// shortList: once, the objects of a new stream are not all there. The list is
// believed; what is in it is served throughout.
func shortList(t *testing.T, s *subject) {
	s.create(t, dualStack("left-out"))
	s.equalsAPI(t, healed)
	var omitted atomic.Int64
	s.proxy.Set(faults.Fault{Frame: func(r *faults.Request, frame []byte, w io.Writer) error {
		e, err := faults.Decode(frame)
		if err != nil {
			return err
		}
		if r.IsStream() && e.Type == "ADDED" {
			o, _, err := scheme.Codecs.UniversalDeserializer().Decode(e.Object.Raw, nil, nil)
			if err != nil {
				return err
			}
			if o, ok := o.(metav1.Object); ok && o.GetNamespace() == s.space && o.GetName() == "left-out" {
				omitted.Add(1)
				return nil
			}
		}
		_, err = w.Write(frame)
		return err
	}})
	load := s.load(t)
	s.reread(t)
	await(t, healed, "the short list to be believed", func() bool {
		return s.ask(t, "udp", s.name("left-out"), dns.TypeA).Rcode == dns.RcodeNameError
	})
	if omitted.Load() == 0 {
		t.Error("nothing was left out")
	}
	s.proxy.Set(faults.Fault{})
	s.reread(t)
	t.Logf("a list without %d objects was believed; equal %v after the next", omitted.Load(), s.equalsAPI(t, healed))
	load.end(t)
}

// reread makes the server begin new streams of all objects.
func (s *subject) reread(t *testing.T) {
	t.Helper()
	began := time.Now()
	fault := *s.proxy.Fault()
	s.proxy.Set(faults.Fault{Frame: fault.Frame, Answer: func(r *faults.Request) *faults.Response {
		if r.IsWatch() && !r.IsStream() {
			return faults.Status(http.StatusGone, metav1.StatusReasonExpired)
		}
		return nil
	}})
	s.proxy.Drop()
	await(t, healed, "new streams of all objects", func() bool {
		begun := map[string]bool{}
		for _, r := range s.proxy.Requests() {
			if r.At.After(began) && r.IsStream() {
				begun[r.Kind()] = true
			}
		}
		return len(begun) == len(kinds)
	})
	s.proxy.Set(fault)
}

// permissionTakenAway: one kind is refused from now on. What was read of it goes
// on being served, and all others go on being followed; its age is told. A new
// server waits with the subtree of that kind only.
func permissionTakenAway(t *testing.T, s *subject) {
	s.proxy.Set(faults.Fault{Answer: func(r *faults.Request) *faults.Response {
		if r.Kind() == "pods" {
			return faults.Status(http.StatusForbidden, metav1.StatusReasonForbidden)
		}
		return nil
	}})
	load := s.load(t)
	s.proxy.Drop()
	fresh := startUnder(t, s.kubeconfig)
	fresh.awaitAnswer(t, healed, s.name("alias"), dns.TypeA, func(reply *dns.Msg) bool { return len(reply.Answer) == 2 })
	fresh.unknown(t, "10-244-1-1."+s.space+".pod.cluster.local.", dns.TypeA)
	fresh.isReady(t, false)
	time.Sleep(5 * time.Second)
	load.end(t)
	for range 3 {
		s.change(t)
		s.equalsAPI(t, healed)
	}
	s.isReady(t, true)
	for _, kind := range []string{"services", "endpointslices"} {
		if age := s.stale(t, kind); age > 4*time.Second {
			t.Errorf("what is known of %s is %v old", kind, age)
		}
	}
	age := s.stale(t, "pods")
	if age < 5*time.Second {
		t.Errorf("what is known of pods is said to be %v old", age)
	}
	s.proxy.Set(faults.Fault{})
	began := time.Now()
	fresh.awaitServing(t, healed)
	t.Logf("pods refused for %v: the others were followed; ready %v after they were allowed", age.Round(time.Second), since(began))
	s.equalsAPI(t, healed)
}
