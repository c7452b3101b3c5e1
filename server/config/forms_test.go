package config

import (
	"math/rand/v2"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/clusterdns/clusterdns/testdata/mutants"
)

const forms = "../../testdata/refused-forms/forms.txtar"

// formsWorld has the files that the forms name.
func formsWorld(t testing.TB) *world {
	certificate, key := keyPair()
	return island(t, &txtar.Archive{Files: []txtar.File{
		{Name: "etc/resolv.conf", Data: []byte("nameserver 192.0.2.53\nsearch a.test\n")},
		{Name: "etc/hosts"}, {Name: "etc/forms/crt.pem", Data: certificate}, {Name: "etc/forms/key.pem", Data: key},
		{Name: "etc/forms/db.zone", Data: []byte("@ 60 IN SOA ns h 1 60 60 60 60\n@ 60 IN NS ns\n" +
			"ns 60 IN A 192.0.2.1\n")},
	}})
}

// TestForms: each form is served.
func TestForms(t *testing.T) {
	archive, err := txtar.ParseFile(forms)
	if err != nil || len(archive.Files) != 48 {
		t.Fatalf("%d forms: %v", len(archive.Files), err)
	}
	for _, f := range archive.Files {
		if _, err := formsWorld(t).parse("Corefile", f.Data, Settings{Port: 53}); err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
}

// TestMutants: a thousand Corefiles with mistakes that people make never panic, neither where the server runs nor in
// check, and what is refused is refused with its place.
func TestMutants(t *testing.T) {
	mutants, err := mutants.Read("../../testdata")
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(8, 8))
	refused := 0
	for range 1000 {
		w := formsWorld(t)
		text := mutants.Mutate(random)
		r := w.examine("Corefile", []byte(text), Settings{Port: 53})
		w.lenient = true
		if checked := w.examine("Corefile", []byte(text), Settings{Port: 53}); len(checked.Errors) == 0 {
			checked.Config.Summary()
		}
		if len(r.Errors) > 0 {
			refused++
		}
		for _, mistake := range r.Errors {
			if !beginsWithPlace.MatchString(mistake.Error()) {
				t.Errorf("%q of:\n%s", mistake, text)
			}
		}
	}
	if refused < 300 || refused > 990 {
		t.Errorf("%d of 1000 are refused: the mutations are too weak or too strong", refused)
	}
}
