package wire

import "encoding/binary"

const (
	// OptionPadding is the code of the EDNS option for padding (RFC 7830 section 3).
	OptionPadding = 12
	// paddedTo is what the size of a padded reply is a multiple of (RFC 8467 section 4.1).
	paddedTo = 468
)

// Pad has the reply end with padding if the query has some, so that its size tells less of it to who cannot read it. It
// is for transports that are encrypted (RFC 7830 section 6).
func (r *Reply) Pad() { r.padded = r.query.EDNS && r.query.Has(OptionPadding) }

// pad adds the option to the OPT, which stands at the end of the message, as far as there is room.
func (r *Reply) pad(opt int) {
	const head = 4 // code and length
	room := r.whole - len(r.buf) - head
	if room < 0 {
		return
	}
	n := min((paddedTo-(len(r.buf)+head)%paddedTo)%paddedTo, room)
	r.buf = append(r.buf, 0, OptionPadding, byte(n>>8), byte(n))
	r.buf = append(r.buf, make([]byte, n)...)
	binary.BigEndian.PutUint16(r.buf[opt+optSize-2:], uint16(len(r.buf)-opt-optSize))
}
