package listen

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestPlaces: who gives way to a new connection. Each step is a second after the one before.
func TestPlaces(t *testing.T) {
	const a, a2, b, c = "2001:db8::1", "2001:db8::ffff:2", "192.0.2.2", "::ffff:192.0.2.3" // a and a2 are one client
	for _, tt := range []struct {
		what     string
		patience time.Duration
		steps    []string // client:name, or what happens to a name
		want     []string // in the order in which they were closed, or refused
	}{
		{what: "a client at its bound loses its oldest", steps: []string{a + "=1", b + "=2", a + "=3", a2 + "=4", a + "=5"},
			want: []string{"1"}},
		{what: "of all, the oldest of the client that has the most",
			steps: []string{b + "=1", a + "=2", a + "=3", a + "=4", c + "=5", c + "=6"}, want: []string{"2"}},
		{what: "what does something is not the oldest", steps: []string{a + "=1", a + "=2", a + "=3", "touch 1", a + "=4"},
			want: []string{"2"}},
		{what: "one that waits for us stays", steps: []string{a + "=1", a + "=2", a + "=3", "begin 1", a + "=4"},
			want: []string{"2"}},
		{what: "if all of its own wait for us, the new one is refused",
			steps: []string{a + "=1", a + "=2", a + "=3", "begin 1", "keep 2", "asked 3", a + "=4"}, want: []string{"refused 4"}},
		{what: "but not for one that has many of another client",
			steps: []string{a + "=1", a + "=2", a + "=3", b + "=4", b + "=5", "begin 1", "begin 2", "begin 3", "begin 4",
				"begin 5", c + "=6", c + "=7", c + "=8"}, want: []string{"1", "6", "7"}},
		{what: "half a request goes first", steps: []string{a + "=1", a + "=2", a + "=3", "half 3", a + "=4"},
			want: []string{"3"}},
		{what: "nobody gives way before his time", patience: 4 * time.Second,
			steps: []string{a + "=1", a + "=2", a + "=3", a + "=4", a + "=5"}, want: []string{"refused 4", "1"}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := NewPlaces(5, 3)
				s.patience = tt.patience
				var got []string
				places, ends := map[string]*Place{}, map[string]func(){}
				for _, step := range tt.steps {
					time.Sleep(time.Second)
					verb, name := step[:len(step)-2], step[len(step)-1:]
					p := places[name]
					switch verb {
					case "touch":
						s.Touch(p)
					case "keep":
						s.Keep(p)
					case "half":
						s.Half(p)
					case "asked":
						p.Asked = func() bool { return true }
					case "leave":
						s.Leave(p)
					case "begin":
						end, ok := s.begin(p)
						if !ok {
							got = append(got, "many "+name)
						}
						if ok {
							ends[name] = end
						}
					case "end":
						ends[name]()
					default:
						places[name] = &Place{}
						if !s.Take(places[name], netip.MustParseAddr(verb), func() { got = append(got, name) }) {
							got = append(got, "refused "+name)
						}
					}
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("got %q, want %q", got, tt.want)
				}
				for _, p := range places {
					s.Leave(p)
				}
				if s.Counts().Open != 0 {
					t.Errorf("%d places are taken when all have left", s.Counts().Open)
				}
			})
		})
	}
}

// TestPlacesAwait: a connection that waits gets the place of one that leaves, of one that stands still for too long, or
// none when its time ends.
func TestPlacesAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewPlaces(1, 1)
		s.patience = 10 * time.Second
		client := netip.MustParseAddr("192.0.2.1")
		closed := 0
		await := func(p *Place, limit time.Duration) (bool, time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			began := time.Now()
			ok := s.Await(ctx, p, client, func() { closed++ })
			return ok, time.Since(began)
		}
		var first, second, third, fourth Place
		await(&first, time.Second)
		time.AfterFunc(3*time.Second, func() { s.Leave(&first) })
		if ok, took := await(&second, time.Minute); !ok || took != 3*time.Second || closed != 0 {
			t.Errorf("a place that becomes free: %v after %v, %d closed", ok, took, closed)
		}
		time.AfterFunc(5*time.Second, func() { s.Touch(&second) })
		if ok, took := await(&third, time.Minute); !ok || took != 20*time.Second || closed != 1 {
			t.Errorf("a place whose holder stands still from 5 s on: %v after %v, %d closed", ok, took, closed)
		}
		if ok, took := await(&fourth, 4*time.Second); ok || took != 4*time.Second {
			t.Errorf("no place: %v after %v", ok, took)
		}
		if s.Touch(&second) || !s.Touch(&third) {
			t.Error("the wrong one has lost its place")
		}
	})
}

// Requests that come faster than others may be closed for them are refused at once, and so are all beyond those that wait.
func TestTryTake(t *testing.T) {
	s, client := NewPlaces(8, 2), netip.MustParseAddr("192.0.2.1")
	closed := 0
	for range 100 {
		s.TryTake(new(Place), client, func() { closed++ })
	}
	if c := s.Counts(); closed == 0 || closed > 60 || c.Open != 2 || int(c.Refused)+closed != 98 || !s.Full(client) {
		t.Errorf("%d closed, %+v", closed, c)
	}
	if !s.TryTake(new(Place), netip.MustParseAddr("192.0.2.2"), nil) {
		t.Error("another client is refused")
	}
}
