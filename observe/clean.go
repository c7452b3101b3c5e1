package observe

import (
	"strings"
	"unicode"
)

// Clean is text without what a terminal would obey, and without line ends. Texts of other servers go through it.
func Clean(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}
