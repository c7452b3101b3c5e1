package logs

import (
	"strings"

	"github.com/clusterdns/clusterdns/resolver"
)

// Expander is what appends text with the values of its placeholders, which are those of the directive log; nil where
// text has none. What only a reply has is missing, since it is said of queries, too.
func Expander(text string) func(to []byte, r *resolver.Request) []byte {
	for _, word := range []string{"{rcode}", "{rsize}", "{duration}", "{>rflags}"} {
		text = strings.ReplaceAll(text, word, noValue)
	}
	f := parseFormat(text)
	if len(f) == 0 || len(f) == 1 && f[0].value == nil && !f[0].isLabel {
		return nil
	}
	return func(to []byte, r *resolver.Request) []byte {
		var rec record
		rec.fill(r, nil, 0)
		rec.metadata = f.metadata(r, nil)
		return f.append(to, &rec)
	}
}
