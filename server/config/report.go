package config

import "fmt"

// Report is what reading a Corefile has found.
type Report struct {
	Config        *Config // its meaning; with errors, what is understood of it
	Errors        Errors
	Served        int // directives
	WithoutEffect int // directives and options that are taken for the sake of old Corefiles and do nothing

	lenient bool // a file that is not here is a warning
	shared  bool // CoreDNS may read the same ConfigMap
}

func (r *Report) warn(at position, format string, values ...any) {
	r.Config.Warnings = append(r.Config.Warnings, oneLine(at.String()+": "+fmt.Sprintf(format, values...)))
}

// note adds a mistake outside of directives, unless err is nil.
func (r *Report) note(err error) {
	if err != nil {
		r.noteAll("", []error{err})
	}
}

// noteAll adds the mistakes of a directive, and reports whether one of them refuses it.
func (r *Report) noteAll(directive string, all []error) (refused bool) {
	for _, err := range all {
		mistake := err.(*Error)
		if r.lenient && mistake.missing {
			r.warn(position{mistake.File, mistake.Line}, "%s; the server needs it where it runs", mistake.Text)
			continue
		}
		mistake.Directive = directive
		r.Errors = append(r.Errors, mistake)
		refused = true
	}
	return refused
}

// sign says of each error which words it was found in.
func (r *Report) sign(digest string) {
	for _, mistake := range r.Errors {
		mistake.Digest = digest
	}
}

// Counts is the last line of `check`.
func (r *Report) Counts() string {
	return fmt.Sprintf("served: %d directives; accepted without effect: %d; refused: %d", r.Served, r.WithoutEffect,
		len(r.Errors))
}

// Advice says whether the directive of a mistake can be left out, and what for; "" for a mistake outside of one.
func (e *Error) Advice() string {
	a := adviceOn(e.Directive)
	switch {
	case a.without == "":
		return ""
	case a.spare:
		return fmt.Sprintf("%s can be left out: %s", a.name, a.without)
	}
	return fmt.Sprintf("%s cannot be left out: without it, %s", a.name, a.without)
}

// Spare reports whether the directive of a mistake can be left out.
func (e *Error) Spare() bool { return adviceOn(e.Directive).spare }
