package config

import (
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

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
