package resolver

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// TestPatternRequires are the texts that expressions need.
func TestPatternRequires(t *testing.T) {
	for _, test := range []struct{ pattern, prefix, suffix, contains string }{
		{`(.*)\.apps\.lab\.test`, "", "", ".apps.lab.test"},
		{`^(.*)\.example\.com\.$`, "", ".example.com.", ""},
		{`^ip-(?P<a>[0-9]+)-(?P<b>[0-9]+)\.lab\.test\.$`, "ip-", ".lab.test.", "-"},
		{`^(?:[^.]+\.){4,}corp\.test\.$`, "", "corp.test.", "."},
		{`.*[.]apps[.]lab[.]test`, "", "", ".apps.lab.test"},
		{`^api\.(www|v4)\.test$`, "api.", ".test", ""},
		{`(?i)(shop)\.(Example)\.\z`, "", "shop.example.", ""},
		{`^exact\.test\.$`, "exact.test.", "", ""},
		{`\.A\.test`, "", "", ".A.test"},
		{`(?m)^line$`, "", "", "line"},
		{`a|b`, "", "", ""},
		{`(^a|b)c`, "", "", "c"},
		{`a$b`, "", "", "a"},
		{`x+yes?`, "", "", "ye"},
		{`(.*)`, "", "", ""},
		{``, "", "", ""},
	} {
		p := must(newPattern(test.pattern))
		got := fmt.Sprintf("%q %q %q", p.prefix, p.suffix, p.contains)
		if want := fmt.Sprintf("%q %q %q", test.prefix, test.suffix, test.contains); got != want {
			t.Errorf("%s: needs %s, want %s", test.pattern, got, want)
		}
	}
}

// TestPatternAllocatesNothing: neither what is decided beforehand nor what the expression decides.
func TestPatternAllocatesNothing(t *testing.T) {
	p := must(newPattern(`(.*)-(.*)\.apps\.lab\.test\.$`))
	for text, want := range map[string]bool{
		"www.example.org.": false, "a.apps.lab.test.": false, "a-b.apps.lab.test.": true,
	} {
		text, got := []byte(text), false
		if n := testing.AllocsPerRun(1000, func() { got = p.matches(text) }); n != 0 || got != want {
			t.Errorf("%s: %v, %v allocations", text, got, n)
		}
	}
}

// FuzzPattern holds what is decided beforehand to what the expression says of text in lower case.
func FuzzPattern(f *testing.F) {
	f.Add(`^(.*)\.a-(b|c)\.$`, "x.a-b.")
	f.Add(`(?i)(K+S)\bx$`, "ksx")
	f.Add(`\Aab?c\z`, "ac")
	f.Add(`(?:a\.){2,}b$`, "a.a.b")
	f.Fuzz(func(t *testing.T, expression, text string) {
		re, err := regexp.Compile(expression)
		if err != nil {
			return
		}
		lower := []byte(strings.ToLower(strings.Map(func(r rune) rune {
			if r < ' ' || r > '~' {
				return -1
			}
			return r
		}, text)))
		p := must(newPattern(expression))
		if got, want := p.matches(lower), re.Match(lower); got != want {
			t.Errorf("%q, %q: %v, want %v", expression, lower, got, want)
		}
		if got, want := fmt.Sprintf("%q", p.groups(lower)), fmt.Sprintf("%q", re.FindSubmatch(lower)); got != want {
			t.Errorf("%q, %q: %s, want %s", expression, lower, got, want)
		}
	})
}
