package config

import (
	"log/slog"
	"regexp"
	"strings"

	"github.com/clusterdns/clusterdns/server/logs"
)

// errors [stdout] { stacktrace; consolidate DURATION REGEXP [LEVEL] [show_first] }
func (b *block) errors(a *args) {
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

// log [NAMES…] [FORMAT] { class CLASSES… }
func (b *block) log(a *args) {
	words := a.rest()
	rule := logs.Log{Format: logs.CommonLog}
	if last := len(words) - 1; last >= 0 && strings.Contains(words[last], "{") {
		rule.Format, words = logFormat(words[last]), words[:last]
	}
	names := &args{statement: statement{at: a.at, words: words}, title: a.title}
	zones := names.zonesOr(".")
	if a.err = names.err; a.err != nil {
		return
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
func (b *block) debug(a *args) {
	b.Debug = true
	a.finish()
}
