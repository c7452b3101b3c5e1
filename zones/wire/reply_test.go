package wire

import (
	"testing"

	"github.com/miekg/dns"
)

// TestNoOwner: a name that no compression pointer reaches has offset 0. Records with that owner are left out, and
// nothing follows the offset into the header.
func TestNoOwner(t *testing.T) {
	packet, err := new(dns.Msg).SetQuestion("web.cluster.local.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	packet[0], packet[1] = 0xc0, HeaderSize // an ID that looks like a pointer
	var q Query
	if q.Parse(packet) != Valid {
		t.Fatal("the query was not read")
	}
	var r Reply
	r.Start(&q, make([]byte, 512), 512, 1232)
	if at := r.Suffix(0, 1); at != 0 {
		t.Errorf("the place of nothing's suffix is %d", at)
	}
	r.AddRecord(0, TypeA, 5, "\x0a\x00\x00\x01")
	r.AddSOA(0, []byte("\x05local\x00"), 5, "\x02ns", "\x02me", [5]uint32{})
	if r.Count(Answer) != 0 || r.Len() != len(packet) {
		t.Errorf("%d records, %d octets", r.Count(Answer), r.Len())
	}
}
