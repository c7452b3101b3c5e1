package resolver

import (
	"fmt"
	"sync/atomic"

	"github.com/expr-lang/expr/vm"
)

// view says for which queries a server block is (directive view). Several blocks may have the same zone if all but one
// of them have a view.
type view struct {
	programs []*vm.Program
	failures atomic.Uint64 // expressions that failed, or gave neither true nor false
}

// newView compiles the block's view. It is a part, so that a reload leaves its counter alone.
func (r *Resolver) newView(b *block, server string) (err error) {
	o := b.options.View
	if o == nil {
		return nil
	}
	b.view, err = obtain(r, "view", []any{o, server, b.options.Zones}, func() (*view, error) {
		v := &view{}
		for _, source := range o.Expressions {
			program, err := compileExpression(source)
			if err != nil {
				return nil, fmt.Errorf("view: %w", err)
			}
			v.programs = append(v.programs, program)
		}
		return v, nil
	})
	return err
}

// matches reports whether all expressions are true for the question of r, with what m tells of it.
func (v *view) matches(r *Request, m *metadata) bool {
	for _, program := range v.programs {
		value, err := r.evaluate(program, m)
		yes, ok := value.(bool)
		if err != nil || !ok {
			v.failures.Add(1)
			return false
		}
		if !yes {
			return false
		}
	}
	return true
}

// choose is the scope of the question's name: of the longest zone for which there is a block without a view, or with one
// that matches, and of such blocks the first in the file. It is nil without such a block.
func (s *scopes) choose(r *Request) *scope {
	found := s.of(r.question.name)
	for found != nil && found.view != nil && !found.view.matches(r, found.block.metadata) {
		found = found.otherwise
	}
	return found
}
