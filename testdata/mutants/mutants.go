// Package mutants makes Corefiles with mistakes that people make, out of those of the tests. The tests of two rooms use
// it: what server/config refuses must not replace what server runs.
package mutants

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/txtar"
)

// Seeds is Corefiles.
type Seeds []string

// Read returns the Corefiles of the archives below the folder testdata.
func Read(testdata string) (all Seeds, err error) {
	names, err := filepath.Glob(filepath.Join(testdata, "corefiles", "*.txtar"))
	if err != nil {
		return nil, err
	}
	for _, name := range append(names, filepath.Join(testdata, "refused-forms", "forms.txtar")) {
		a, err := txtar.ParseFile(name)
		if err != nil {
			return nil, err
		}
		for _, f := range a.Files {
			if strings.Contains(string(f.Data), "{\n") {
				all = append(all, string(f.Data))
			}
		}
	}
	return all, nil
}

// Mutate makes one to three mistakes in one of the Corefiles.
func (seeds Seeds) Mutate(random *rand.Rand) string {
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
