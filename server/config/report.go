package config

import "fmt"

// Report is what reading a Corefile has found.
type Report struct {
	Config        *Config // its meaning; with errors, what is understood of it
	Errors        Errors
	Served        int // directives
	WithoutEffect int // directives and options that are taken for the sake of old Corefiles and do nothing

	lenient bool // a file that is not here is a warning
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
