package config

import (
	"fmt"
	"strings"
	"time"

	"github.com/clusterdns/clusterdns/resolver"
)

// Summary says what a Config does, for people: where it listens, for which zones, and what each directive means, in the
// order of the table of directives.
func (c *Config) Summary() string {
	var out strings.Builder
	for _, l := range c.Listeners {
		l.summarize(&out)
	}
	for _, d := range directives() {
		if d.process == nil {
			continue
		}
		if text := d.process(c); text != "" {
			fmt.Fprintln(&out, text)
		}
	}
	return out.String()
}

func (l *Listener) summarize(out *strings.Builder) {
	var where []string
	for _, a := range l.Addresses {
		where = append(where, describe(l.Scheme, a))
	}
	fmt.Fprintf(out, "listen on %s\n", strings.Join(where, "; "))
	for i := range l.Blocks {
		b := &l.Blocks[i]
		fmt.Fprintf(out, "  zones %s (%s)\n", names(b.Steps.Zones), b.At)
		b.summarize(out)
	}
}

func (b *Block) summarize(out *strings.Builder) {
	s := &summary{}
	for _, d := range directives() {
		if d.summary != nil {
			d.summary(b, s)
		}
	}
	for _, l := range s.steps {
		fmt.Fprintf(out, "    %s\n", l)
	}
	if len(s.notes) > 0 {
		fmt.Fprintf(out, "    with %s\n", strings.Join(s.notes, ", "))
	}
	for _, text := range s.logs {
		fmt.Fprintf(out, "    %s\n", text)
	}
}

// names joins zones, and shortens the long list that a CIDR block expands to.
func names(all []string) string {
	if len(all) == 0 {
		return "no zone"
	}
	if len(all) > 8 {
		return fmt.Sprintf("%s … %s (%d)", all[0], all[len(all)-1], len(all))
	}
	return strings.Join(all, " ")
}

// summary collects what the directives of one block say.
type summary struct {
	steps []*line  // a line for each step of a query
	notes []string // what is done around the steps, all on one line
	logs  []string // a line for each rule of what is logged
}

// step begins the line of a step.
func (s *summary) step(format string, values ...any) *line {
	l := &line{}
	fmt.Fprintf(l, format, values...)
	s.steps = append(s.steps, l)
	return l
}

func (s *summary) note(when bool, format string, values ...any) {
	if when {
		s.notes = append(s.notes, fmt.Sprintf(format, values...))
	}
}

func (s *summary) logged(format string, values ...any) {
	s.logs = append(s.logs, fmt.Sprintf(format, values...))
}

// line is the line of one step: what it is, then what differs from the defaults.
type line struct{ strings.Builder }

func (l *line) add(when bool, format string, values ...any) {
	if when {
		fmt.Fprintf(l, ", "+format, values...)
	}
}

func (l *line) passes(f resolver.Fallthrough) {
	l.add(len(f.Zones) > 0, "falls through for %s", names(f.Zones))
}

// seconds formats a TTL.
func seconds(d time.Duration) string { return fmt.Sprintf("%ds", d/time.Second) }
