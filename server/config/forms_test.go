package config

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
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
	seeds := mutantSeeds(t)
	random := rand.New(rand.NewPCG(8, 8))
	refused := 0
	for range 1000 {
		w := formsWorld(t)
		text := mutate(random, seeds)
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

// mutantSeeds is the Corefiles of the archives and the forms.
func mutantSeeds(t *testing.T) (all []string) {
	t.Helper()
	names, err := filepath.Glob(corefiles + "*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(names, forms) {
		a, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range a.Files {
			if strings.Contains(string(f.Data), "{\n") {
				all = append(all, string(f.Data))
			}
		}
	}
	return all
}

// mutate makes one to three mistakes in one of the seeds.
func mutate(random *rand.Rand, seeds []string) string {
	lines := strings.Split(seeds[random.IntN(len(seeds))], "\n")
	other := strings.Split(seeds[random.IntN(len(seeds))], "\n")
	for range 1 + random.IntN(3) {
		i, j := random.IntN(len(lines)), random.IntN(len(lines))
		words := strings.Fields(lines[i])
		switch random.IntN(8) {
		case 0:
			lines = slices.Delete(lines, i, i+1)
		case 1:
			lines[i], lines[j] = lines[j], lines[i]
		case 2:
			lines = slices.Insert(lines, i, lines[j])
		case 3:
			lines = slices.Insert(lines, i, other[random.IntN(len(other))])
		case 4:
			lines[i] += [...]string{" {", " }", "\"", " {$UNSET}", " \xff"}[random.IntN(5)]
		default:
			lines[i] = mutateWords(random, words)
		}
		if len(lines) == 0 {
			return ""
		}
	}
	return strings.Join(lines, "\n")
}

func mutateWords(random *rand.Rand, words []string) string {
	if len(words) == 0 {
		return "x"
	}
	i, j := random.IntN(len(words)), random.IntN(len(words))
	switch random.IntN(4) {
	case 0:
		words = slices.Delete(words, i, i+1)
	case 1:
		words[i], words[j] = words[j], words[i]
	case 2:
		words = slices.Insert(words, i, words[j])
	default:
		at := random.IntN(len(words[i]))
		words[i] = words[i][:at] + words[i][at+1:]
	}
	return strings.Join(words, " ")
}
