package config

import (
	"strings"

	"github.com/clusterdns/clusterdns/resolver"
)

// view NAME { expr EXPRESSION… }
func (b *blockReader) view(a *args) {
	v := &resolver.View{Name: a.word("a name for metrics")}
	a.options(options{
		"expr": func(o *args) {
			source := strings.Join(o.atLeastOne("an expression such as incidr(client_ip(), '10.0.0.0/8')"), " ")
			o.checkExpression(source)
			v.Expressions = append(v.Expressions, source)
		},
	})
	b.Steps.View = v
}

// checkExpression fails when source does not compile, and warns when it can be nothing but false.
func (a *args) checkExpression(source string) {
	if a.err != nil {
		return
	}
	mayBeTrue, err := resolver.CheckExpression(source)
	if err != nil {
		a.fail("%v", err)
	} else if !mayBeTrue {
		a.warnf("%s is neither true nor false, and counts as false", source)
	}
}

func usesView(b *Block) bool { return b.Steps.View != nil }

func summarizeView(b *Block, s *summary) {
	if v := b.Steps.View; v != nil {
		l := s.step("view %s", v.Name)
		for _, source := range v.Expressions {
			l.add(true, "%s", source)
		}
	}
}
