package watch

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
)

// mistake is something wrong with an object of a namespace.
func mistake(namespace string, i int) []object.Problem {
	key := object.Key{Namespace: namespace, Name: "web"}
	return []object.Problem{{Kind: "slice", Key: key, Words: fmt.Sprint("mistake ", i)}}
}

// One tenant's mistakes silence its own namespace, for an hour, and nobody else.
func TestComplaintsAreByNamespace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		s, err := newState(Options{}, zones.NewIndex(), slog.New(lines(&out, slog.LevelInfo)))
		must(t, err)
		for i := range 10_000 {
			s.complain(mistake("evil", i))
		}
		if n := strings.Count(out.String(), "\n"); n != maxComplaints {
			t.Errorf("%d lines about one namespace, want %d", n, maxComplaints)
		}
		expect := func(namespace string, i, want int) {
			t.Helper()
			out.Reset()
			s.complain(mistake(namespace, i))
			if n := strings.Count(out.String(), namespace+"/web: mistake"); n != want {
				t.Errorf("%d lines about %s, want %d:\n%s", n, namespace, want, out.String())
			}
		}
		expect("prod", 1, 1)
		expect("prod", 1, 0) // each once
		expect("prod", 2, 1)
		expect("evil", 10_000, 0)
		time.Sleep(forget)
		expect("evil", 10_000, 1)
		expect("prod", 1, 0) // a namespace with few mistakes repeats none
		if s.counters.Problems != 10_006 {
			t.Errorf("%d counted", s.counters.Problems)
		}
	})
}

// Names of namespaces do not grow memory either.
func TestComplainingNamespacesAreBounded(t *testing.T) {
	c, now := newComplaints(), time.Unix(1, 0)
	for i := range 3 * maxComplaining {
		now = now.Add(time.Second)
		if ok, _ := c.first(fmt.Sprint("ns-", i), "words", now); !ok {
			t.Fatalf("namespace %d is not heard", i)
		}
	}
	if len(c.spaces) != maxComplaining {
		t.Errorf("%d namespaces are remembered, want %d", len(c.spaces), maxComplaining)
	}
}
