package config

import (
	"bytes"
	"strings"

	"github.com/coredns/caddy/caddyfile"
)

// token is a word of a Corefile.
type token struct {
	at    position
	text  string // with environment variables replaced
	first bool   // of its line
	open  bool   // an opening brace that stands alone
	close bool   // a closing one
}

// lex splits one file into tokens. It marks the first token of each line, because line numbers say nothing about line
// breaks once imports are replaced by the tokens of other files. It marks braces before it replaces environment
// variables, so that no variable can change the structure.
func lex(name string, content []byte, getenv func(string) string) []token {
	var tokens []token
	words := caddyfile.NewDispenser(name, bytes.NewReader(content))
	for end := 0; words.Next(); {
		text, line := words.Val(), words.Line()
		tokens = append(tokens, token{
			at:    position{name, line},
			text:  expandVariables(text, getenv),
			first: line > end,
			open:  text == "{",
			close: text == "}",
		})
		end = line + strings.Count(text, "\n")
	}
	return tokens
}

// expandVariables replaces {%NAME%} and {$NAME}; an unset one is empty. Values are not searched again, or a variable
// that names itself would never end.
func expandVariables(s string, getenv func(string) string) string {
	return replaceBetween(replaceBetween(s, "{%", "%}", getenv), "{$", "}", getenv)
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
