package config

import (
	"bytes"
	"strings"
	"unicode"

	"github.com/coredns/caddy/caddyfile"
)

// token is a word of a Corefile.
type token struct {
	at    position
	text  string // with environment variables replaced
	unset string // names of its variables when these leave nothing of it
	first bool   // of its line
	open  bool   // an opening brace that stands alone
	close bool   // a closing one
}

// lex splits one file into tokens. It marks the first token of each line, because line numbers say nothing about line
// breaks once imports are replaced by the tokens of other files. It marks braces before it replaces environment
// variables, so that no variable can change the structure.
func lex(name string, content []byte, getenv func(string) string, warn warner) []token {
	warnHashes(name, content, warn)
	var tokens []token
	words := caddyfile.NewDispenser(name, bytes.NewReader(content))
	for end := 0; words.Next(); {
		text, line := words.Val(), words.Line()
		t := token{
			at:    position{name, line},
			text:  expandVariables(text, getenv),
			first: line > end,
			open:  text == "{",
			close: text == "}",
		}
		if t.text == "" {
			t.unset = variables(text)
		}
		tokens = append(tokens, t)
		end = line + strings.Count(text, "\n")
	}
	return tokens
}

// warnHashes warns of words that end at a #, such as 10.0.0.1#5353: what follows is a comment.
func warnHashes(name string, content []byte, warn warner) {
	text, line, start := string(content), 1, -1 // start is where the word begins, -1 between words
	quoted, escaped, comment := false, false, false
	for i, r := range text {
		switch {
		case r == '\n':
			line++
			if !quoted {
				start, comment = -1, false
			}
		case comment:
		case quoted && !escaped && r == '"':
			start, quoted = -1, false
		case quoted:
			escaped = r == '\\' && !escaped
		case unicode.IsSpace(r):
			start = -1
		case r == '#':
			comment = true
			if rest := strings.Fields(text[i:] + " "); start >= 0 && len(rest[0]) > 1 {
				warn(position{name, line}, "%q is read without %q: a # begins a comment, within a word too",
					text[start:i], rest[0])
			}
		case start < 0:
			start, quoted = i, r == '"'
		}
	}
}

// expandVariables replaces {%NAME%} and {$NAME}; an unset one is empty. Values are not searched again, or a variable
// that names itself would never end.
func expandVariables(s string, getenv func(string) string) string {
	return replaceBetween(replaceBetween(s, "{%", "%}", getenv), "{$", "}", getenv)
}

// variables lists the names of the variables in a word.
func variables(text string) string {
	var names []string
	expandVariables(text, func(name string) string { names = append(names, name); return "" })
	return strings.Join(names, ", ")
}

func replaceBetween(s, open, close string, value func(string) string) string {
	var out strings.Builder
	for {
		before, rest, opened := strings.Cut(s, open)
		name, after, closed := strings.Cut(rest, close)
		if !opened || !closed || name == "" {
			out.WriteString(s)
			return out.String()
		}
		out.WriteString(before)
		out.WriteString(value(name))
		s = after
	}
}
