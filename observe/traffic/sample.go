package traffic

import (
	"net/netip"
	"time"
)

// The sizes of what a sample keeps. A longer reason is cut.
const (
	maxName   = 255
	maxReason = 200
)

// Sample is one query, and stands for as many as Weight says.
type Sample struct {
	At       time.Time // when its answer was sent
	Took     time.Duration
	Weight   uint32
	Client   netip.AddrPort
	Type     uint16
	Rcode    uint16
	Info     uint16 // info code of the reason
	Source   uint8
	TCP      bool
	Searched bool // NXDOMAIN, and a search list has made the name

	nameSize   uint8
	reasonSize uint8
	name       [maxName]byte
	reason     [maxReason]byte
}

// SetName keeps the name, in wire form and lower case.
func (s *Sample) SetName(name []byte) { s.nameSize = uint8(copy(s.name[:], name)) }

// Name is the name in wire form.
func (s *Sample) Name() []byte { return s.name[:s.nameSize] }

// SetReason keeps why there is no answer.
func (s *Sample) SetReason(text []byte) { s.reasonSize = uint8(copy(s.reason[:], text)) }

// Reason is why there is no answer; empty for none.
func (s *Sample) Reason() []byte { return s.reason[:s.reasonSize] }

// The rcodes that are no failure by themselves.
const (
	noError  = 0
	nxdomain = 3
)

// failed reports whether people want to know the reason: there is no answer, and a search list is not why.
func (s *Sample) failed() bool {
	return s.Rcode != noError && (s.Rcode != nxdomain || s.reasonSize > 0 && !s.Searched)
}
