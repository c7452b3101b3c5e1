package resolver

import (
	"testing"
	"time"
)

// TestDelayHoldsNobody: a question with a delay is pending, as one for an upstream is, and the end of the server ends it.
func TestDelayHoldsNobody(t *testing.T) {
	r := running(t, nil, Block{Zones: []string{"."}, Erratic: &Erratic{Delay: 1, Duration: time.Hour}})
	request := asking(t, "www.example.org. A", time.Now())
	buf := make([]byte, 0, 1232)
	if _, result := r.Answer(request, request.Query.Packet, buf); result != Pending {
		t.Fatalf("answer: %v", result)
	}
	var wait Wait
	if _, result := r.Wait(request, &wait, make(signal)); result != Pending || !wait.Interrupt() {
		t.Fatalf("wait: %v", result)
	}
	if _, result := r.Resume(request, &wait, buf); result != Send {
		t.Fatalf("resume: %v", result)
	}
	expect(t, said(finished(t, request)), "NOERROR 192.0.2.53")
}
