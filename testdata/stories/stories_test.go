package stories

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A story whose answers are those it expects is rewritten as it was.
func TestScriptKeepsWhatIsRight(t *testing.T) {
	Run(t, ".", nil, func(t *testing.T, s *Story) {
		var answers []Answer
		for _, q := range s.Questions {
			answers = append(answers, q.Want)
		}
		want, _ := s.Section("answers")
		if diff := cmp.Diff(want, s.Script(answers)); diff != "" {
			t.Errorf("answers (-want +got):\n%s", diff)
		}
	})
}

// Mistakes of a story are said with their line.
func TestMistakes(t *testing.T) {
	for _, test := range []struct{ script, want string }{
		{"a. A\n    NOERROR\n    answer a. A 1.2.3\n", `answers:3: dns: bad A A: "1.2.3" at line: 1:10`},
		{"a. A\n    NOEROR\n", `answers:2: "NOEROR" is not an rcode`},
		{"a. A\n    NOERROR\n    answre a. A 1.2.3.4\n", `answers:3: "answre a. A 1.2.3.4" is no line of an answer`},
		{"    NOERROR\n", "answers:1: an answer without a question"},
		{"a A\n", `answers:1: "a" is not a name with a dot at its end`},
		{"a. B\n", `answers:1: "B" is not a type`},
		{"a. A IM\n", `answers:1: "IM" is not a class`},
		{"a.\n", "answers:1: a question is a name, a type and perhaps a class, then options with a + before them"},
		{"a. A +tpc\n", "answers:1: +tpc: no such option"},
		{"a. A +bufsize=65536\n", `answers:1: +bufsize=65536: strconv.ParseUint: parsing "65536": value out of range`},
	} {
		if _, _, err := parseScript(test.script); err == nil || err.Error() != test.want {
			t.Errorf("%q: got %v, want %s", test.script, err, test.want)
		}
	}
}
