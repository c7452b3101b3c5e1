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
	return p.mistake(format, values...)
}

func (p position) mistake(format string, values ...any) *Error {
	return &Error{File: p.file, Line: p.line, Text: fmt.Sprintf(format, values...)}
}

// warner adds a warning about a place.
type warner func(at position, format string, values ...any)

// Error is a mistake in a Corefile.
type Error struct {
	File      string // as it was given, or as the import found it
	Line      int    // from 1
	Text      string
	Directive string // that it is in; "" outside of one
	Example   string // lines of a server block, of what to write instead; "" when there are none

	Digest string // of the words that were read, in hexadecimal, as in Config

	missing bool // a file that is not here
}

// Error returns one line that begins with file:line. A word of the file may have line breaks in it; the message has
// none, since it is logged.
func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, oneLine(e.Text))
}

// Errors are the mistakes of a Corefile, in the order that they were found, at least one.
type Errors []*Error

// Error returns a line for each.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, mistake := range e {
		lines[i] = mistake.Error()
	}
	return strings.Join(lines, "\n")
}

func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, mistake := range e {
		all[i] = mistake
	}
	return all
}

func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}
