package object

import (
	"fmt"
)

// Problem is what is wrong with an object, in words for a log line. The rest of the object is used.
type Problem struct {
	Kind string // "service", "slice", "namespace" …
	Key
	Words string // the bad text in quotes
}

// String names the object too.
func (p Problem) String() string {
	if p.Namespace == "" {
		return p.Kind + " " + p.Name + ": " + p.Words
	}
	return p.Kind + " " + p.Namespace + "/" + p.Name + ": " + p.Words
}

// Problems collects what is wrong with one object. Kind and key may be left out where nobody logs them.
type Problems struct {
	kind string
	Key
	List []Problem
}

// Add takes a problem in the words of format, in which value stands in quotes.
func (p *Problems) Add(value any, format string) {
	p.List = append(p.List, Problem{Kind: p.kind, Key: p.Key, Words: fmt.Sprintf(format, value)})
}

// named reports whether the object's own name and namespace can be labels of a domain name.
func (p *Problems) named() bool {
	if !ValidLabel(p.Name) {
		p.Add(p.Name, "name %q is not a DNS label")
	}
	if !ValidLabel(p.Namespace) {
		p.Add(p.Namespace, "namespace %q is not a DNS label")
	}
	return len(p.List) == 0
}
