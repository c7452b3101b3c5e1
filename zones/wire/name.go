package wire

import (
	"errors"
	"strings"
)

// fold copies src, a name in wire form, to dst with ASCII letters in lower case (RFC 4343 section 3). A length octet is
// below 64 and so is never taken for a letter.
func fold(dst, src []byte) {
	for i, c := range src {
		if c-'A' < 26 {
			c += 'a' - 'A'
		}
		dst[i] = c
	}
}

var errName = errors.New("a name needs labels of 1 to 63 octets and at most 255 octets in all")

// ParseName turns a name in presentation form into wire form in lower case, root label included. A backslash quotes the
// next character or three decimal digits (RFC 1035 section 5.1). A missing final dot is added.
func ParseName(text string) ([]byte, error) {
	return AppendParsed(make([]byte, 0, len(text)+2), text)
}

// AppendParsed appends to name, which is empty, what ParseName makes of text.
func AppendParsed(name []byte, text string) ([]byte, error) {
	name = append(name, 0)
	start := 0 // index of the length octet of the current label
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '.' {
			if text == "." {
				break
			}
			if len(name)-start == 1 {
				return nil, errName
			}
			name[start] = byte(len(name) - start - 1)
			start = len(name)
			name = append(name, 0)
			continue
		}
		if c == '\\' {
			var used int
			if c, used = unquote(text[i+1:]); used == 0 {
				return nil, errors.New("a backslash in a name needs a character or three digits behind it")
			}
			i += used
		}
		if c-'A' < 26 {
			c += 'a' - 'A'
		}
		if name = append(name, c); len(name)-start > 64 {
			return nil, errName
		}
	}
	if len(name)-start > 1 {
		name[start] = byte(len(name) - start - 1)
		name = append(name, 0)
	}
	if len(name) > MaxName {
		return nil, errName
	}
	return name, nil
}

// unquote reads the characters that follow a backslash and returns how many it used, 0 on an error.
func unquote(text string) (c byte, used int) {
	if text == "" {
		return 0, 0
	}
	if text[0] < '0' || text[0] > '9' {
		return text[0], 1
	}
	if len(text) < 3 {
		return 0, 0
	}
	n := 0
	for _, d := range []byte(text[:3]) {
		if d < '0' || d > '9' {
			return 0, 0
		}
		n = n*10 + int(d-'0')
	}
	if n > 255 {
		return 0, 0
	}
	return byte(n), 3
}

// NameString is name, in wire form with or without its root label, in presentation form with a final dot.
func NameString(name []byte) string {
	return string(AppendName(nil, name))
}

// special are the characters that miekg/dns, and with it CoreDNS, writes behind a backslash. Every parser of zone files
// reads them back.
const special = ` "'();@.\`

// AppendName appends name in presentation form, with a final dot, to text. It allocates nothing when text has room.
func AppendName(text, name []byte) []byte {
	start := len(text)
	for len(name) > 0 && name[0] != 0 {
		size := min(int(name[0]), len(name)-1)
		for _, c := range name[1 : 1+size] {
			switch {
			case strings.IndexByte(special, c) >= 0:
				text = append(text, '\\', c)
			case c <= ' ' || c > '~':
				text = append(text, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
			default:
				text = append(text, c)
			}
		}
		text = append(text, '.')
		name = name[1+size:]
	}
	if len(text) == start {
		text = append(text, '.')
	}
	return text
}

// Within reports whether name is at or below zone; both are in wire form and lower case.
func Within(name, zone []byte) bool {
	for len(name) > len(zone) {
		name = name[1+int(name[0]):]
	}
	return string(name) == string(zone)
}

// Labels is the number of labels of name, in wire form, the root excluded.
func Labels(name []byte) int {
	n := 0
	for len(name) > 0 && name[0] != 0 {
		name = name[1+int(name[0]):]
		n++
	}
	return n
}

// UnpackName expands the name at offset at of message, compressed or not, into name in lower case, root label included.
// It returns the size of the expanded name and the offset behind the name in message; ok is false if the name runs out
// of message, has a pointer that does not lead backwards, or is too long.
func UnpackName(name *[MaxName + 1]byte, message []byte, at int) (size, next int, ok bool) {
	size, next, ok = expandName(name, message, at)
	fold(name[:size], name[:size])
	return size, next, ok
}

// expandName is UnpackName with letters as they are.
func expandName(name *[MaxName + 1]byte, message []byte, at int) (size, next int, ok bool) {
	pointers := 0
	for {
		if at >= len(message) {
			return 0, 0, false
		}
		c := int(message[at])
		switch {
		case c == 0:
			name[size] = 0
			if pointers == 0 {
				next = at + 1
			}
			return size + 1, next, true
		case c < 64:
			if at+1+c > len(message) || size+1+c >= MaxName {
				return 0, 0, false
			}
			copy(name[size:], message[at:at+1+c])
			size += 1 + c
			at += 1 + c
		case c >= 0xc0:
			if at+1 >= len(message) {
				return 0, 0, false
			}
			if pointers == 0 {
				next = at + 2
			}
			target := c&0x3f<<8 | int(message[at+1])
			if pointers++; pointers > maxPointers || target >= at {
				return 0, 0, false
			}
			at = target
		default: // 01 and 10 are not label types any more, RFC 6891 section 5
			return 0, 0, false
		}
	}
}

// SkipName is the offset behind the name at offset at of message; ok is false if the name runs out of message.
func SkipName(message []byte, at int) (next int, ok bool) {
	for at < len(message) {
		switch c := int(message[at]); {
		case c == 0:
			return at + 1, true
		case c < 64:
			at += 1 + c
		case c >= 0xc0:
			return at + 2, at+2 <= len(message)
		default:
			return 0, false
		}
	}
	return 0, false
}
