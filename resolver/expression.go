package resolver

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm"
	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// Expressions are in the language of github.com/expr-lang/expr. They call functions of CoreDNS's names, which tell of the
// query and of the question on its way.

// environment is what expressions see of one request. Its functions are made once and tell of the request as it is when
// they are called, so that an evaluation makes no map of them.
type environment struct {
	request   *Request
	metadata  *metadata // of the block
	template  *templateData
	functions map[string]any // and the variables of template
	machine   vm.VM          // its stack is used again
}

func newEnvironment(r *Request) *environment {
	e := &environment{request: r}
	e.functions = map[string]any{
		"name":        func() string { return string(wire.AppendName(nil, e.request.question.name.Name())) },
		"type":        func() string { return dns.Type(e.request.question.qtype).String() },
		"class":       func() string { return dns.Class(e.request.question.class).String() },
		"proto":       func() string { return e.request.Proto.String() },
		"id":          func() int { return int(e.request.Query.ID) },
		"opcode":      func() int { return int(e.request.Query.Opcode()) },
		"size":        func() int { return len(e.request.Query.Packet) },
		"do":          func() bool { return e.request.Query.DO },
		"bufsize":     func() int { return e.request.Proto.Limit(&e.request.Query, wire.MaxMessage) },
		"client_ip":   func() string { return text(e.request.Client.Addr()) },
		"port":        func() string { return strconv.Itoa(int(e.request.Client.Port())) },
		"server_ip":   func() string { return text(e.request.Local) },
		"server_port": func() string { return strconv.Itoa(int(e.request.LocalPort)) },
		"metadata":    e.label,
		"group":       e.group, // of template alone
	}
	return e
}

// label is the value of a label of the directive metadata; "" for none.
func (e *environment) label(label string) string {
	value, _ := e.metadata.value(e.request, label)
	return value
}

// group is what a group of template's pattern has matched, by its number or name; "" for none.
func (e *environment) group(which any) string {
	switch which := which.(type) {
	case int:
		return e.template.Group[strconv.Itoa(which)]
	case string:
		return e.template.Group[which]
	}
	return ""
}

// text is an address as clients and people write it.
func text(a netip.Addr) string { return a.Unmap().WithZone("").String() }

// compileExpression compiles an expression. The type that it gives may be any.
func compileExpression(source string, options ...expr.Option) (*vm.Program, error) {
	environment := newEnvironment(nil).functions
	delete(environment, "group")
	return compileIn(environment, source, options...)
}

// compileIn compiles an expression that may refer to what environment has.
func compileIn(environment map[string]any, source string, options ...expr.Option) (*vm.Program, error) {
	options = append(options,
		expr.Env(environment),
		expr.Function("incidr", inCIDR, new(func(string, string) bool)),
		expr.DisableBuiltin("type"), // it tells the type of a value, and ours that of a question
	)
	program, err := expr.Compile(source, options...)
	return program, firstLine(err)
}

// firstLine is err without the lines after the first, which draw the expression again.
func firstLine(err error) error {
	if err == nil {
		return nil
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	return errors.New(first)
}

// CheckExpression says why source is no expression, and whether what it gives may be true.
func CheckExpression(source string) (mayBeTrue bool, err error) {
	program, err := compileExpression(source)
	if err != nil {
		return false, err
	}
	var networks constantNetworks
	node := program.Node()
	if ast.Walk(&node, &networks); networks.err != nil {
		return false, networks.err
	}
	_, otherType := compileExpression(source, expr.AsKind(reflect.Bool))
	return otherType == nil, nil
}

// constantNetworks finds the first network of incidr that stands in an expression and is none: it would fail for each query.
type constantNetworks struct{ err error }

// Visit is the method of ast.Visitor.
func (c *constantNetworks) Visit(node *ast.Node) {
	call, _ := (*node).(*ast.CallNode)
	if call == nil || c.err != nil || len(call.Arguments) != 2 {
		return
	}
	callee, _ := call.Callee.(*ast.IdentifierNode)
	network, _ := call.Arguments[1].(*ast.StringNode)
	if callee == nil || callee.Value != "incidr" || network == nil {
		return
	}
	if _, err := netip.ParsePrefix(network.Value); err != nil {
		c.err = fmt.Errorf("incidr: %q is no network such as 10.0.0.0/8", network.Value)
	}
}

// inCIDR reports whether an address is in a network.
func inCIDR(params ...any) (any, error) {
	address, err := netip.ParseAddr(params[0].(string))
	if err != nil {
		return false, err
	}
	network, err := netip.ParsePrefix(params[1].(string))
	return network.Contains(address.Unmap()), err
}

// evaluate is what program gives for the request and its question, with what m tells of it. It does not panic.
func (r *Request) evaluate(program *vm.Program, m *metadata) (any, error) {
	return r.environmentWith(m).run(program)
}

// environmentWith is the request's environment.
func (r *Request) environmentWith(m *metadata) *environment {
	if r.environment == nil {
		r.environment = newEnvironment(r)
	}
	r.environment.request, r.environment.metadata = r, m
	return r.environment
}

func (e *environment) run(program *vm.Program) (any, error) {
	return e.machine.Run(program, e.functions)
}
