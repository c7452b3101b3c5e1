package terminal

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// fit is text in so many columns, cut or filled up.
func fit(text string, columns int) string {
	n := utf8.RuneCountInString(text)
	if n <= columns {
		return text + strings.Repeat(" ", columns-n)
	}
	if columns < 1 {
		return ""
	}
	return string([]rune(text)[:columns-1]) + "…"
}

// duration is a latency in seconds, as people read it.
func duration(seconds float64) string {
	switch d := time.Duration(seconds * float64(time.Second)); {
	case d == 0:
		return "-"
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", max(d.Microseconds(), 1))
	case d < time.Second:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	default:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
}

// rate is a number in a second.
func rate(n float64) string {
	switch {
	case n == 0:
		return "0"
	case n < 100:
		return fmt.Sprintf("%.1f", n)
	}
	return fmt.Sprintf("%.0f", n)
}

func percent(n, of uint64) string {
	if of == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(of))
}

// The colours of a terminal.
const (
	plain = "\x1b[0m"
	bold  = "\x1b[1m"
	dim   = "\x1b[2m"
	red   = "\x1b[31m"
)

// paint is text in a colour, where there are colours.
func paint(colours bool, colour, text string) string {
	if !colours || text == "" {
		return text
	}
	return colour + text + plain
}
