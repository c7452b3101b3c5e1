package resolver

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/vm"
)

// conditions are the expressions of a directive template: the values of its variables, and what has to be true.
type conditions struct {
	names    []string // of the variables
	vars     []*vm.Program
	programs []*vm.Program
	options  *Template
}

// none reports whether there are no expressions.
func (c *conditions) none() bool { return len(c.vars)+len(c.programs) == 0 }

// newConditions compiles the expressions of o.
func newConditions(o *Template) (c conditions, err error) {
	c.options = o
	environment := newEnvironment(nil).functions
	for _, v := range o.Vars {
		program, err := declare(environment, v)
		if err != nil {
			return c, fmt.Errorf("var %s: %w", v.Name, err)
		}
		c.names, c.vars = append(c.names, v.Name), append(c.vars, program)
	}
	for _, source := range o.Conditions {
		program, err := compileIn(environment, source)
		if err != nil {
			return c, fmt.Errorf("expr: %w", err)
		}
		c.programs = append(c.programs, program)
	}
	return c, nil
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// declare compiles the expression of a variable, and adds the variable to environment.
func declare(environment map[string]any, v TemplateVar) (*vm.Program, error) {
	if !variableName.MatchString(v.Name) {
		return nil, fmt.Errorf("%q is no name of a variable: letters, digits and _ make one", v.Name)
	}
	_, function := environment[v.Name]
	_, standard := builtin.Index[v.Name]
	if _, err := expr.Compile(v.Name+" == "+v.Name, expr.Env(map[string]any{v.Name: 0})); err != nil || function ||
		standard || v.Name == "incidr" || isLiteral(v.Name) {
		return nil, fmt.Errorf("%s means something already: another name is needed", v.Name)
	}
	program, err := compileIn(environment, v.Expression)
	if err != nil {
		return nil, err
	}
	environment[v.Name] = new(any)
	if t := program.Node().Type(); t != nil && t.Kind() != reflect.Interface {
		environment[v.Name] = reflect.Zero(t).Interface()
	}
	return program, nil
}

// isLiteral reports whether the language has the name as a value.
func isLiteral(name string) bool { return name == "true" || name == "false" || name == "nil" }

// CheckTemplateExpressions says what is wrong with the expressions of o, and whether the last condition may be true.
func CheckTemplateExpressions(o *Template) (mayBeTrue bool, err error) {
	if _, err := newConditions(o); err != nil {
		return false, errors.Unwrap(err)
	}
	if len(o.Conditions) == 0 {
		return true, nil
	}
	environment := newEnvironment(nil).functions
	for _, v := range o.Vars {
		declare(environment, v)
	}
	_, otherType := compileIn(environment, o.Conditions[len(o.Conditions)-1], expr.AsKind(reflect.Bool))
	return otherType == nil, nil
}

// hold sets the variables in d, and reports whether all conditions are true. failed is the expression that err is of.
func (c *conditions) hold(r *Request, m *metadata, d *templateData) (yes bool, failed string, err error) {
	e := r.environmentWith(m)
	e.template, d.Var = d, map[string]any{}
	for i, program := range c.vars {
		value, err := e.run(program)
		if err != nil {
			return false, c.options.Vars[i].Expression, err
		}
		e.functions[c.names[i]], d.Var[c.names[i]] = value, value
	}
	for i, program := range c.programs {
		value, err := e.run(program)
		if err != nil {
			return false, c.options.Conditions[i], err
		}
		if value != true {
			return false, "", nil
		}
	}
	return true, "", nil
}
