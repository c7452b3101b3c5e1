package config

import (
	"fmt"
	"strings"
	"unicode"
)

// position is a place in a Corefile or in a file that it imports.
type position struct {
	file string
	line int
}

func (p position) String() string { return fmt.Sprintf("%s:%d", p.file, p.line) }

func (p position) errorf(format string, values ...any) error {
	return &Error{File: p.file, Line: p.line, Text: fmt.Sprintf(format, values...)}
}

// warner adds a warning about a place.
type warner func(at position, format string, values ...any)

// Error is a mistake in a Corefile.
type Error struct {
	File string // as it was given, or as the import found it
	Line int    // from 1
	Text string

	Digest string // of the words that were read, in hexadecimal, as in Config
}

// Error returns one line that begins with file:line. A word of the file may have line breaks in it; the message has
// none, since it is logged.
func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, oneLine(e.Text))
}

func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}
