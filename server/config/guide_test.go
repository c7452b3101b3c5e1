package config

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// TestExternals: an external plugin is named as one, and is none of ours.
func TestExternals(t *testing.T) {
	for name, instead := range externals() {
		_, err := island(t, &txtar.Archive{}).parse("Corefile", []byte(". {\n "+name+" x {\n y\n }\n}\n"), Settings{})
		if err == nil || !strings.HasPrefix(err.Error(), `Corefile:2: "`+name+`" is an external plugin`) ||
			!strings.HasSuffix(err.Error(), instead.words) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSubstitutes: what is said to write instead is taken, without a warning that it has no effect.
func TestSubstitutes(t *testing.T) {
	all := externals()
	for _, a := range guide() {
		all[a.name] = a.instead
		for option, instead := range a.insteads {
			all[a.name+" "+option] = instead
		}
	}
	for name, instead := range all {
		if (instead.example == "") != (instead.words == "" || slices.Contains(elsewhereServed, name)) {
			t.Errorf("%s: %q has the example %q", name, instead.words, instead.example)
		}
		w := island(t, &txtar.Archive{Files: documentFiles(t)})
		w.lenient = true
		r := w.examine("Corefile", []byte(". {\n"+instead.example+"\n}\n"), Settings{Port: 53})
		if len(r.Errors) > 0 || r.WithoutEffect > 0 {
			t.Errorf("%s: %q: %v %v", name, instead.example, r.Errors, r.Config.Warnings)
		}
	}
}

// elsewhereServed is what nothing has to be written for in a Corefile.
var elsewhereServed = []string{"alias", "finalize", "on", "proxyproto", "shed", "tls keylog"}
