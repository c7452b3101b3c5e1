package resolver

import (
	"fmt"
	"testing"
	"time"

	"github.com/clusterdns/clusterdns/zones/wire"
)

func nameOf(t *testing.T, text string) *wire.QName {
	t.Helper()
	name, err := parseName(text)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// TestSilence: which domain is found to be silent, by what came and did not come for names below it.
func TestSilence(t *testing.T) {
	const many = 1000
	for what, tt := range map[string]struct {
		top    int                  // labels of the forward's zone
		silent func(i int) []string // names for which nothing comes; "+NAME" is one that is answered
		ask    map[string]string    // a name, and the domain that it fails for, "" for none
	}{
		"names of one domain": {silent: func(i int) []string { return []string{fmt.Sprintf("u%d.dead.co.uk.", i)} },
			ask: map[string]string{"x.dead.co.uk.": "dead.co.uk.", "x.y.dead.co.uk.": "dead.co.uk.", "dead.co.uk.": "",
				"www.bbc.co.uk.": "", "www.example.org.": ""}},
		"two random labels": {silent: func(i int) []string { return []string{fmt.Sprintf("u%[1]d.v%[1]d.dead.co.uk.", i)} },
			ask: map[string]string{"x.y.dead.co.uk.": "dead.co.uk.", "www.bbc.co.uk.": ""}},
		"the same name, over and over": {silent: func(int) []string { return []string{"www.dead.test."} },
			ask: map[string]string{"x.dead.test.": ""}},
		"a few answers between": {silent: func(i int) []string {
			names := []string{fmt.Sprintf("u%d.busy.test.", i)}
			if i%silentAfter == silentAfter-1 {
				names = append(names, "+www.busy.test.")
			}
			return names
		}, ask: map[string]string{"x.busy.test.": ""}},
		"a stub domain": {top: 1, silent: func(i int) []string { return []string{fmt.Sprintf("u%d.stub.", i)} },
			ask: map[string]string{"x.stub.": "stub.", "x.y.stub.": "stub."}},
		"everything": {silent: func(i int) []string { return []string{fmt.Sprintf("www.t%d.", i)} },
			ask: map[string]string{"www.example.org.": "."}},
		"deep names": {silent: func(i int) []string {
			return []string{fmt.Sprintf("u%d.1.2.3.4.5.6.7.8.9.a.b.c.d.e.f.0.1.2.3.4.5.6.7.ip6.arpa.", i)}
		}, ask: map[string]string{"1.1.2.3.4.5.6.7.8.9.a.b.c.d.e.f.0.1.2.3.4.5.6.7.ip6.arpa.": ""}},
	} {
		t.Run(what, func(t *testing.T) {
			for name, want := range tt.ask {
				s := newSilence(tt.top)
				now := time.Now()
				for i := range many {
					for _, name := range tt.silent(i) {
						if now = now.Add(time.Millisecond); name[0] == '+' {
							s.answered(nameOf(t, name[1:]), now)
						} else {
							s.unanswered(nameOf(t, name), now, now)
						}
					}
				}
				q := nameOf(t, name)
				got := ""
				if labels, silent := s.over(q, now); silent {
					got = wire.NameString(q.Suffix(q.Labels() - labels))
				}
				expect(t, got, want)
				if _, silent := s.over(q, now.Add(silentFor+time.Second)); silent {
					t.Errorf("%s still fails after %v", name, silentFor)
				}
				s.answered(q, now)
				if _, silent := s.over(q, now); silent {
					t.Errorf("%s fails after its answer", name)
				}
				if n := len(s.recent) + len(s.older); n > silentDomains {
					t.Errorf("%d domains are remembered", n)
				}
			}
		})
	}
}

// TestSilenceBeforeAnAnswer: what was asked before the last answer and has come to nothing since says nothing of now.
func TestSilenceBeforeAnAnswer(t *testing.T) {
	s := newSilence(0)
	began := time.Now()
	s.unanswered(nameOf(t, "a.slow.test."), began, began)
	s.answered(nameOf(t, "www.slow.test."), began.Add(time.Second))
	for i := range 2 * silentAfter {
		s.unanswered(nameOf(t, fmt.Sprintf("u%d.slow.test.", i)), began, began.Add(2*time.Second))
	}
	if _, silent := s.over(nameOf(t, "x.slow.test."), began.Add(2*time.Second)); silent {
		t.Error("it is silent")
	}
}

// TestSilenceOfABurst: of many names that are asked at once some come to nothing, and the others were answered before the domain was
// remembered for it. It is silent only if nothing comes for what is asked after that.
func TestSilenceOfABurst(t *testing.T) {
	s := newSilence(0)
	began := time.Now()
	for i := range 2 * silentAfter {
		s.answered(nameOf(t, fmt.Sprintf("v%d.burst.test.", i)), began)
	}
	for round, silent := range []bool{false, true} {
		now := began.Add(2 * time.Second)
		for i := range 2 * silentAfter {
			s.unanswered(nameOf(t, fmt.Sprintf("u%d.burst.test.", i)), began, now)
		}
		if _, got := s.over(nameOf(t, "x.burst.test."), now); got != silent {
			t.Errorf("round %d: silent %t", round, got)
		}
		began = now.Add(time.Millisecond)
	}
}
