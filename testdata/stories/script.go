package stories

import (
	"fmt"
	"slices"
	"strings"
)

// line is one line of the answers section: a comment, or a question.
type line struct {
	comment  string
	question *Question
}

// parseScript reads an answers section.
func parseScript(text string) (script []line, questions []*Question, err error) {
	number := 0
	for l := range strings.Lines(text) {
		number++
		l = strings.TrimRight(l, " \t\r\n")
		words := strings.TrimLeft(l, " \t")
		switch {
		case words == "" || words[0] == '#':
			script = append(script, line{comment: l})
		case words == l:
			q, err := parseQuestion(l, len(questions))
			if err != nil {
				return nil, nil, fmt.Errorf("answers:%d: %w", number, err)
			}
			questions = append(questions, q)
			script = append(script, line{question: q})
		case len(questions) == 0:
			return nil, nil, fmt.Errorf("answers:%d: an answer without a question", number)
		default:
			q := questions[len(questions)-1]
			if err := q.Want.parse(words); err != nil {
				return nil, nil, fmt.Errorf("answers:%d: %w", number, err)
			}
			q.written += l + "\n"
		}
	}
	for _, q := range questions {
		q.Want.sort()
	}
	return script, questions, nil
}

// Script is the answers section with these answers, one for each question. One that is expected already stays as it is written.
func (s *Story) Script(answers []Answer) string {
	var text strings.Builder
	for _, l := range s.script {
		if l.question == nil {
			text.WriteString(l.comment + "\n")
			continue
		}
		q := l.question
		answer := answers[slices.Index(s.Questions, q)].String()
		if answer == q.Want.String() {
			answer = q.written
		}
		text.WriteString(q.Text + "\n" + answer)
	}
	return text.String()
}
