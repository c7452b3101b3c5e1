package config

import (
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"

	"github.com/clusterdns/clusterdns/server/logs"
)

// errors [stdout] { stacktrace; consolidate DURATION REGEXP [LEVEL] [show_first] }
func (b *blockReader) errors(a *args) {
	e := &logs.Errors{}
	b.Errors = e
	if a.more() {
		choose(a, map[string]bool{"stdout": true})
	}
	a.options(options{
		"stacktrace":  set(&e.Stacktrace),
		"consolidate": func(o *args) { e.Consolidate = append(e.Consolidate, consolidate(o)) },
	})
}

func consolidate(a *args) logs.Consolidate {
	c := logs.Consolidate{Level: slog.LevelError, Period: a.duration(positive, forever), Pattern: a.pattern()}
	if a.more() && a.peek() != "show_first" {
		c.Level = choose(a, map[string]slog.Level{
			"debug": slog.LevelDebug, "info": slog.LevelInfo, "warning": slog.LevelWarn, "error": slog.LevelError,
		})
	}
	if a.more() {
		c.ShowFirst = choose(a, map[string]bool{"show_first": true})
	}
	return c
}

// patternBytes bounds a regular expression, whose program is many times larger.
const patternBytes = 10_000

func (a *args) pattern() *regexp.Regexp {
	w := a.word("a regular expression")
	if len(w) > patternBytes {
		a.fail("a regular expression of %d bytes, wants at most %d", len(w), patternBytes)
		return nil
	}
	re, err := regexp.Compile(w)
	if err != nil {
		a.fail("got %q, wants a regular expression: %v", w, err)
	}
	return re
}

// log [NAMES…] [FORMAT] { class CLASSES… }, with FORMAT "{json}" too
func (b *blockReader) log(a *args) {
	rule := logs.Log{Format: logs.CommonLog}
	if last := len(a.words) - 1; last >= 0 && strings.Contains(a.words[last], "{") {
		rule.Format, a.words = logFormat(a.words[last]), a.words[:last]
		if rule.Format != logs.JSONLog && strings.Contains(rule.Format, logs.JSONLog) {
			a.fail("%s is a whole line, and stands alone", logs.JSONLog)
			return
		}
	}
	if a.peek() == "stdout" {
		a.warnf("stdout is read as a name, and no other names are logged: queries are logged to standard output without it")
	}
	zones := a.zonesOr(".")
	if a.err != nil {
		return
	}
	if slices.ContainsFunc(a.unset, func(names string) bool { return names != "" }) {
		zones = append(zones, ".") // as in CoreDNS, where the empty name is the root
	}
	a.options(options{
		"class": func(o *args) { rule.Classes |= classes(o) },
	})
	if rule.Classes == 0 {
		rule.Classes = logs.AllClasses
	}
	for _, rule.Zone = range zones {
		b.Log = append(b.Log, rule)
	}
}

func logFormat(s string) string {
	return strings.NewReplacer("{common}", logs.CommonLog, "{combined}", logs.CombinedLog).Replace(s)
}

func classes(a *args) (set logs.Classes) {
	for ok := true; ok; ok = a.more() {
		set |= choose(a, map[string]logs.Classes{
			"all": logs.AllClasses, "success": logs.Success, "denial": logs.Denial, "error": logs.Failure,
		})
	}
	return set
}

// debug
func (b *blockReader) debug(a *args) {
	b.Debug = true
	a.finish()
}

func usesErrors(b *Block) bool { return b.Errors != nil }

func summarizeErrors(b *Block, s *summary) {
	if b.Errors == nil {
		return
	}
	s.note(true, "errors")
	s.note(b.Errors.Stacktrace, "stacktrace")
	for _, c := range b.Errors.Consolidate {
		s.logged("errors like %q once in %v as %v", c.Pattern, c.Period, c.Level)
	}
}

func usesLog(b *Block) bool { return len(b.Log) > 0 }

func summarizeLog(b *Block, s *summary) {
	for _, l := range b.Log {
		s.logged("log %s, %s, %s", l.Zone, l.Classes, formatName(l.Format))
	}
}

func formatName(format string) string {
	switch format {
	case logs.CommonLog:
		return "common"
	case logs.CombinedLog:
		return "combined"
	case logs.JSONLog:
		return "json"
	}
	named := strings.NewReplacer(logs.CombinedLog, "{combined}", logs.CommonLog, "{common}").Replace(format)
	return fmt.Sprintf("%q", named)
}

func summarizeDebug(b *Block, s *summary) { s.note(b.Debug, "debug") }
