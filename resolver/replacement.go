package resolver

import (
	"fmt"
	"strconv"
	"strings"
)

// replacementPart is a piece of the name that a rule `rewrite name regex FROM TO metadata` makes: text, a group of the
// pattern, or the value of a label of metadata.
type replacementPart struct {
	text  string
	label string
	group int // -1 for none
}

// CheckReplacement says what is wrong with the name that a rule with metadata makes, whose pattern has that many groups.
func CheckReplacement(to string, groups int) error {
	_, err := parseReplacement(to, groups)
	return err
}

// parseReplacement splits to at its placeholders: {1} is a group, {plugin/label} a label.
func parseReplacement(to string, groups int) (parts []replacementPart, err error) {
	for rest := to; rest != ""; {
		text, behind, found := strings.Cut(rest, "{")
		if strings.Contains(text, "}") {
			return nil, fmt.Errorf("} without a { before it")
		}
		if text != "" {
			parts = append(parts, replacementPart{text: strings.ToLower(text), group: -1})
		}
		if !found {
			break
		}
		name, after, closed := strings.Cut(behind, "}")
		if !closed {
			return nil, fmt.Errorf("{%s has no } behind it", name)
		}
		part := replacementPart{label: name, group: -1}
		if n, err := strconv.Atoi(name); err == nil {
			if part = (replacementPart{group: n}); n < 0 || n > groups {
				return nil, fmt.Errorf("{%s} has no group in the pattern, which has %d", name, groups)
			}
		} else if room, label, _ := strings.Cut(name, "/"); room == "" || label == "" || strings.Contains(name, "{") {
			return nil, fmt.Errorf("{%s} is neither a group such as {1} nor a label such as {kubernetes/client-namespace}",
				name)
		}
		parts, rest = append(parts, part), after
	}
	return parts, nil
}

// expand is the name that the rule makes of r.text. ok is false if its pattern does not match, or if a label has no
// value: then the rule is passed over.
func (rule *rewriteRule) expand(r *Request) (to string, ok bool) {
	groups := rule.pattern.groups(r.text)
	if groups == nil {
		return "", false
	}
	var name strings.Builder
	for _, part := range rule.parts {
		switch {
		case part.group >= 0:
			name.Write(groups[part.group])
		case part.label != "":
			value, _ := r.Metadata(part.label)
			if value == "" {
				return "", false
			}
			name.WriteString(strings.ToLower(value))
		default:
			name.WriteString(part.text)
		}
	}
	return name.String(), true
}
