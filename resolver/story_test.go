package resolver_test

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/server/config"
	"github.com/clusterdns/clusterdns/testdata/stories"
	"github.com/clusterdns/clusterdns/watch"
	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// TestStories runs the stories of testdata/stories from their records to their answers.
func TestStories(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	stories.Run(t, "../testdata/stories", nil, tell)
}

func tell(t *testing.T, s *stories.Story) {
	r := newResolver(t, s)
	answers := make([]stories.Answer, len(s.Questions))
	for i, q := range s.Questions {
		answers[i] = r.ask(t, q, q.UDP())
		if q.UDP() && q.TCP() && !*stories.Update {
			r.ask(t, q, false)
		}
	}
	if *stories.Update {
		s.SetSection(t, "answers", s.Script(answers))
	}
}

// asked is a resolver, and the time of the questions to it.
type asked struct {
	*resolver.Resolver
	now time.Time
}

// newResolver runs a resolver for the story until the end of the test.
func newResolver(t *testing.T, s *stories.Story) asked {
	name, text := s.Lay(t, s.Upstream(t))
	c, err := config.Parse(name, []byte(text), config.Settings{Port: 53})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Listeners) != 1 {
		t.Fatalf("the Corefile has %d listeners, and a story has one", len(c.Listeners))
	}
	var options resolver.Options
	var index, imports *zones.Index
	for _, b := range c.Listeners[0].Blocks {
		for i := range b.Steps.Kubernetes {
			k := &b.Steps.Kubernetes[i]
			if index == nil && k.Nearest {
				index = compiled(t, b.Sources[i].Objects) // a zone file cannot say where endpoints are
			}
			if index == nil {
				index = load(t, s, "records", k.Zones[0])
			}
			if imports == nil && len(k.MultiCluster) > 0 {
				imports = load(t, s, "imports", k.MultiCluster[0])
			}
			k.Index, k.MultiIndex = index, imports
		}
		for i := range b.Steps.Gateways {
			b.Steps.Gateways[i].Index = compiled(t, b.Gateways[i].Objects)
		}
		options.Blocks = append(options.Blocks, b.Steps)
	}
	r, err := resolver.New(options, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
	return asked{r, time.Now()}
}

// compiled is what the records of a story do not have, such as the names of a k8s_gateway: it is read from its cluster.
func compiled(t *testing.T, from watch.Options) *zones.Index {
	index := zones.NewIndex()
	source, err := watch.New(from, index, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	var running sync.WaitGroup
	running.Go(func() { source.Run(ctx) })
	err = source.Wait(ctx, zones.ServiceKinds|zones.Ingresses)
	stop()
	running.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return index
}

// ask asks one question and judges the answer.
func (r asked) ask(t *testing.T, q *stories.Question, udp bool) stories.Answer {
	t.Helper()
	proto, transport := resolver.UDP, "UDP"
	if !udp {
		proto, transport = resolver.TCP, "TCP"
	}
	got, err := q.Read(r.answer(t, q.Packet, proto), udp)
	got = got.Like(q.Want)
	if err != nil {
		t.Errorf("%s, over %s: %v\n%s", q.Text, transport, err, got)
	}
	if *stories.Update {
		return got
	}
	if diff := cmp.Diff(q.Want.String(), got.String()); diff != "" {
		t.Errorf("%s, over %s (-want +got):\n%s", q.Text, transport, diff)
	}
	return got
}

// answer is the reply to a packet, nil for none.
func (r asked) answer(t *testing.T, packet []byte, proto resolver.Proto) []byte {
	t.Helper()
	request := &resolver.Request{
		Client: netip.MustParseAddrPort("127.0.0.1:5353"), Local: netip.MustParseAddr("127.0.0.1"),
		Proto: proto, Now: r.now,
	}
	buf := make([]byte, 0, wire.MaxMessage)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	reply, result := r.Respond(ctx, request, packet, buf)
	return judge(t, reply, result)
}

func judge(t *testing.T, reply []byte, result resolver.Result) []byte {
	t.Helper()
	switch result {
	case resolver.Send:
		return reply
	case resolver.Drop:
		return nil
	}
	t.Fatalf("the resolver gives result %d", result)
	return nil
}
