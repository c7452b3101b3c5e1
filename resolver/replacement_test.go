package resolver

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clusterdns/clusterdns/zones"
)

// TestReplacement: groups, labels and text, which is in lower case.
func TestReplacement(t *testing.T) {
	got, err := parseReplacement("{1}.A-{kubernetes/client-label/App}{0}b.", 1)
	want := []replacementPart{{group: 1}, {text: ".a-", group: -1}, {label: "kubernetes/client-label/App", group: -1}, {group: 0},
		{text: "b.", group: -1}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(replacementPart{})); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// FuzzReplacement: what is taken makes a name of the parts it has, and nothing of it is read again.
func FuzzReplacement(f *testing.F) {
	for _, text := range []string{"{1}.{a/b}.", "{0}", "a}b", "{", "{a/{b}", "{-1}", "{+1}", "{99999999999999999999}", "{/a}", "{a/}", ""} {
		f.Add(text, "{1}")
	}
	rule := &rewriteRule{pattern: must(newPattern("^(a)(b)$"))}
	f.Fuzz(func(t *testing.T, text, value string) {
		parts, err := parseReplacement(text, 2)
		if err != nil {
			return
		}
		labels := 0
		var plain strings.Builder
		for _, part := range parts {
			if part.label != "" {
				labels++
			}
			plain.WriteString(part.text)
		}
		if found := len(regexp.MustCompile(`\{[^{}]*\}`).FindAllString(text, -1)); found < labels {
			t.Errorf("%d labels in %q", labels, text)
		}
		if strings.ContainsAny(plain.String(), "{}") {
			t.Errorf("text %q of %q", plain.String(), text)
		}
		rule.parts = parts
		r := &Request{text: []byte("ab")}
		if to, ok := rule.expand(r); ok != (labels == 0) || ok && strings.ContainsAny(to, "{}") {
			t.Errorf("%q makes %q, %v", text, to, ok)
		}
		r.noted.by = &metadata{zones: must(zones.NewSet([]string{"."})), view: &View{Name: value}}
		r.Query.QName.SetString("\x00")
		onlyView := strings.Count(text, "{view/name}") == labels
		if to, ok := rule.expand(r); onlyView && (ok != (labels == 0 || value != "") || ok && !strings.Contains(to, strings.ToLower(value)) && labels > 0) {
			t.Errorf("%q with %q makes %q, %v", text, value, to, ok)
		}
	})
}
