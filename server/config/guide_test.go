package config

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// TestGuide: each directive of the table has its advice.
func TestGuide(t *testing.T) {
	var names []string
	for _, a := range guide() {
		names = append(names, a.name)
		if a.without == "" || !strings.HasPrefix(a.line, a.name) {
			t.Errorf("%s: incomplete", a.name)
		}
	}
	for _, name := range namesOf(directives()) {
		if !slices.Contains(names, name) {
			t.Errorf("%s has no line in guide.go", name)
		}
	}
}

// TestExternals: an external plugin is named as one, and is none of ours.
func TestExternals(t *testing.T) {
	for name, instead := range externals() {
		_, err := island(t, &txtar.Archive{}).parse("Corefile", []byte(". {\n "+name+" x {\n y\n }\n}\n"), Settings{})
		if err == nil || !strings.HasPrefix(err.Error(), `Corefile:2: "`+name+`" is an external plugin`) ||
			!strings.HasSuffix(err.Error(), instead) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
