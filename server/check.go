package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/clusterdns/clusterdns/server/config"
)

// errRefused ends `check` with status 1 after it has printed all.
var errRefused = &exit{status: 1}

// check reads a Corefile and prints what it means, or all that is wrong with it.
func (c *console) check(arguments []string) error {
	arguments, asJSON, err := cutOutput(arguments)
	if err != nil {
		return err
	}
	settings, err := config.ReadSettings("clusterdns check", arguments)
	if err != nil {
		return err
	}
	report, err := config.Check(settings, c.in)
	if err != nil {
		return orDemo(err)
	}
	if asJSON {
		err = c.printJSON(report)
	} else {
		c.printReport(report)
	}
	if err == nil && len(report.Errors) > 0 {
		return errRefused
	}
	return err
}

// cutOutput takes -o json out of the arguments; the other flags are those of the server.
func cutOutput(arguments []string) (rest []string, asJSON bool, err error) {
	i := slices.IndexFunc(arguments, func(a string) bool { return a == "-o" || a == "--o" })
	if i < 0 {
		return arguments, false, nil
	}
	if i+1 == len(arguments) || arguments[i+1] != "json" {
		return nil, false, errors.New("-o: wants json")
	}
	return slices.Concat(arguments[:i], arguments[i+2:]), true, nil
}

func (c *console) printReport(r *config.Report) {
	for _, warning := range r.Config.Warnings {
		fmt.Fprintln(c.out, "warning: "+warning)
	}
	for i, mistake := range r.Errors {
		fmt.Fprintln(c.out, mistake)
		last := i+1 == len(r.Errors) || r.Errors[i+1].Directive != mistake.Directive
		if advice := mistake.Advice(); advice != "" && last {
			fmt.Fprintln(c.out, "  "+advice)
		}
		if mistake.Example != "" {
			fmt.Fprintln(c.out, "  for example:\n    "+strings.ReplaceAll(mistake.Example, "\n", "\n    "))
		}
	}
	if len(r.Errors) == 0 {
		fmt.Fprint(c.out, r.Config.Summary())
	}
	fmt.Fprintln(c.out, r.Counts())
}

// checked is what `check -o json` prints. Fields are added, never renamed.
type checked struct {
	Served        int       `json:"served"`
	WithoutEffect int       `json:"acceptedWithoutEffect"`
	Refused       int       `json:"refused"`
	Problems      []problem `json:"problems"`
	Summary       []string  `json:"summary"` // lines of what the Corefile means; empty when something is refused
}

type problem struct {
	Severity  string `json:"severity"` // error or warning
	At        string `json:"at"`       // file:line
	Text      string `json:"text"`
	Directive string `json:"directive,omitempty"`
	LeaveOut  *bool  `json:"canBeLeftOut,omitempty"` // of the directive
	Advice    string `json:"advice,omitempty"`
	Example   string `json:"example,omitempty"` // of what to write instead: lines of a server block
}

func (c *console) printJSON(r *config.Report) error {
	out := checked{Served: r.Served, WithoutEffect: r.WithoutEffect, Refused: len(r.Errors), Problems: []problem{},
		Summary: []string{}}
	for _, mistake := range r.Errors {
		p := problem{Severity: "error", Directive: mistake.Directive, Advice: mistake.Advice(),
			Example: mistake.Example}
		p.At, p.Text, _ = strings.Cut(mistake.Error(), ": ")
		if p.Advice != "" {
			spare := mistake.Spare()
			p.LeaveOut = &spare
		}
		out.Problems = append(out.Problems, p)
	}
	for _, warning := range r.Config.Warnings {
		p := problem{Severity: "warning"}
		p.At, p.Text, _ = strings.Cut(warning, ": ")
		out.Problems = append(out.Problems, p)
	}
	if len(r.Errors) == 0 {
		out.Summary = strings.Split(strings.TrimSuffix(r.Config.Summary(), "\n"), "\n")
	}
	encoder := json.NewEncoder(c.out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(out)
}
