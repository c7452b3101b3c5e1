package resolver

import (
	"context"
	"log/slog"
	"testing"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/resolver/datagram"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// TestPanicsAreSurvived: what the reply of an upstream or of a secondary does to its reader costs the question, the
// check, the probe or the NOTIFY, not the process; each is counted, and the goroutine goes on.
func TestPanicsAreSurvived(t *testing.T) {
	up := serve(t, answering("192.0.2.1"))
	f := forwarding(t, Forward{}, up)
	u := f.upstreams()[0]
	u.buffers.New = func() any { panic("scripted") }
	woken := make(signal)
	w := &Wait{waker: woken}
	lost := newFlight() // which nobody has asked
	lost.through = []*forwarder{f}
	lost.add(w)
	f.wg.Add(1)
	lost.Reply(nil, false, nil)
	<-woken
	if m := w.message; m == nil || m.rcode != wire.ServerFailure {
		t.Errorf("answered %v", m)
	}
	if f.alive(u) {
		t.Error("a check that panics has found an upstream alive")
	}
	(&probe{forwarder: f, upstream: u, below: "\x04test\x00"}).send(t.Context())
	if n := f.panics.Total(); n != 3 {
		t.Errorf("%d panics counted, want 3", n)
	}
	u.buffers.New = nil
	expect(t, f.ask(t, "www.example.org. A"), "NOERROR 192.0.2.1")

	(&flight{through: []*forwarder{f}, cache: new(cache)}).keep(nil) // without a message
	secondary := serve(t, func(_, reply *dns.Msg, _ bool) *dns.Msg {
		reply.Rcode = dns.RcodeRefused
		return reply
	})
	var panics observe.Panics
	n := &notifier{secondary: secondary.addr, panics: &panics, log: slog.New(alarmed{slog.DiscardHandler})}
	n.notify(t.Context(), "test.")
	if f.panics.Total() != 4 || panics.Total() != 1 {
		t.Errorf("%d and %d panics counted, want 4 and 1", f.panics.Total(), panics.Total())
	}
}

// alarmed panics at a warning.
type alarmed struct{ slog.Handler }

func (alarmed) Enabled(_ context.Context, level slog.Level) bool {
	if level == slog.LevelWarn {
		panic("scripted")
	}
	return false
}

// upset panics when it is woken.
type upset struct{}

func (upset) Wake(*datagram.Cycle) { panic("scripted") }

// TestPanicOfOneThatWaits: it costs the others that wait for the same flight nothing.
func TestPanicOfOneThatWaits(t *testing.T) {
	f := forwarding(t, Forward{}, serve(t, nil))
	woken := make(signal)
	lost := newFlight()
	lost.through = []*forwarder{f}
	lost.add(&Wait{waker: upset{}})
	lost.add(&Wait{waker: woken})
	f.wg.Add(1)
	lost.land(interrupted(), lane{})
	<-woken
	if n := f.panics.Total(); n != 1 {
		t.Errorf("%d panics counted", n)
	}
}
