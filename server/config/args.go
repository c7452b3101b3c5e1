package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// args reads one statement, a directive or an option, word by word. The first mistake stays in err and every later call
// returns a zero value, so that a parser reads as the list of what it expects. Each option has args of its own, so that
// a mistake in one does not hide those of the next.
type args struct {
	statement
	*world
	title  string     // what errors call it: "forward" or "forward: max_fails"
	used   int        // words already read
	places []position // of the words, when they stand on several lines; nil when all are at at
	err    error
	others []error // mistakes of the options behind the one in err, and files that are not here and may be where the server runs
	warn   warner
	idle   *int // counts what is taken without effect
}

// options are the readers of a directive's options by name. A nil reader is an option that CoreDNS has and we do not
// serve yet.
type options map[string]func(*args)

// fail takes note of a mistake. A file that may be missing here hides no mistake behind it: where the server runs, the file is
// there and that one is found.
func (a *args) fail(format string, values ...any) {
	if a.err != nil {
		return
	}
	mistake := a.at.mistake("%s: %s%s", a.title, fmt.Sprintf(format, values...), hintUnset(a.variables()))
	if mistake.missing = slices.ContainsFunc(values, isMissing); mistake.missing && a.lenient {
		a.others = append(a.others, mistake)
		return
	}
	a.err = mistake
}

// isMissing reports whether a value is the error of a file that is not there.
func isMissing(value any) bool {
	err, failed := value.(error)
	return failed && errors.Is(err, fs.ErrNotExist)
}

// keep takes over the mistakes of an option.
func (a *args) keep(o *args) {
	if a.err == nil {
		a.err, a.others = o.err, append(a.others, o.others...)
	} else {
		a.others = append(a.others, o.mistakes()...)
	}
}

func (a *args) mistakes() []error {
	if a.err == nil {
		return a.others
	}
	return append([]error{a.err}, a.others...)
}

// hasNoEffect warns of a directive or option that is read for the sake of old Corefiles and does nothing.
func (a *args) hasNoEffect(why string) {
	a.rest()
	a.lines = nil
	*a.idle++
	a.warnf("%s has no effect", why)
}

// hintUnset says of an empty word which unset variables it stands for.
func hintUnset(names string) string {
	return when(names != "", " (%s)", notSet(names))
}

// notSet says that variables are not set.
func notSet(names string) string {
	if strings.Contains(names, ", ") {
		return "the variables " + names + " are not set"
	}
	return "the variable " + names + " is not set"
}

// variables are the unset variables that the word read last consists of, before the first word those of the name, or "".
func (a *args) variables() string {
	if a.used >= len(a.unset) {
		return ""
	}
	return a.unset[a.used]
}

// absent reports whether the word read last is nothing but unset variables, and warns of it: CoreDNS takes an empty
// word where it takes zones or names of hosts, and nothing has that name. Elsewhere it is an error.
func (a *args) absent() bool {
	names := a.variables()
	if names != "" {
		a.warnf("%s, and nothing is read in its place", notSet(names))
	}
	return names != ""
}

func (a *args) warnf(format string, values ...any) {
	a.warn(a.at, "%s: %s", a.title, fmt.Sprintf(format, values...))
}

func (a *args) more() bool { return a.err == nil && a.used < len(a.words) }

// peek returns the next word without reading it, "" at the end.
func (a *args) peek() string {
	if !a.more() {
		return ""
	}
	return a.words[a.used]
}

// word reads the next word, which must be there; want says in errors what it should be.
func (a *args) word(want string) string {
	if !a.more() {
		a.fail("needs %s", want)
		return ""
	}
	if a.places != nil {
		a.at = a.places[a.used]
	}
	a.used++
	return a.words[a.used-1]
}

// rest reads all words that are left.
func (a *args) rest() []string {
	if a.err != nil {
		return nil
	}
	words := a.words[a.used:]
	a.used = len(a.words)
	return words
}

// atLeastOne reads the words that are left and fails when there are none.
func (a *args) atLeastOne(want string) []string {
	if !a.more() {
		a.fail("needs %s", want)
	}
	return a.rest()
}

// skipAbsent reads words that are unset variables, where CoreDNS takes any word.
func (a *args) skipAbsent() {
	for a.more() && a.unset[a.used+1] != "" {
		a.word("")
		a.absent()
	}
}

// end fails when a word is left.
func (a *args) end() {
	if a.more() {
		a.fail("unexpected %q", a.word(""))
	}
}

// set reads an option without words: it is on when it is there.
func set(value *bool) func(*args) { return func(*args) { *value = true } }

func (a *args) number(least, most int) int {
	want := fmt.Sprintf("a whole number from %d to %d", least, most)
	if most == math.MaxInt32 {
		want = fmt.Sprintf("a whole number of %d or more", least)
	}
	w := a.word(want)
	n, err := strconv.Atoi(w)
	if err != nil || n < least || n > most {
		a.fail("got %q, wants %s", w, want)
		return 0
	}
	return n
}

// seconds reads a whole number of seconds, as TTLs are written.
func (a *args) seconds(least, most int) time.Duration {
	return time.Duration(a.number(least, most)) * time.Second
}

// The bounds of durations that have no narrower ones.
const (
	positive = time.Nanosecond
	forever  = time.Duration(math.MaxInt64)
)

func (a *args) duration(least, most time.Duration) time.Duration {
	want := "a duration such as 30s, 1m or 500ms"
	switch {
	case most < forever:
		want += fmt.Sprintf(", at most %v", most)
	case least == positive:
		want += ", more than 0"
	case least > 0:
		want += fmt.Sprintf(", at least %v", least)
	}
	w := a.word(want)
	d, err := time.ParseDuration(w)
	if err != nil || d < least || d > most {
		a.fail("got %q, wants %s", w, want)
		return 0
	}
	return d
}

// choose reads a word that must be a key of the table, and returns its value.
func choose[T any](a *args, table map[string]T) (value T) {
	want := sentence(slices.Sorted(maps.Keys(table)))
	w := a.word(want)
	value, ok := table[w]
	if !ok {
		a.fail("got %q, wants %s", w, want)
	}
	return value
}

// chooseFolded is choose for words whose case does not matter.
func chooseFolded[T any](a *args, table map[string]T) T {
	if a.more() {
		a.words = slices.Clone(a.words)
		a.words[a.used] = strings.ToLower(a.words[a.used])
	}
	return choose(a, table)
}

// has reports whether the block of the directive has an option.
func (a *args) has(option string) bool {
	return slices.ContainsFunc(a.lines, func(s statement) bool { return s.name == option })
}

// zones reads the words that are left as zones: fully qualified names in lower case. Unset variables are none.
func (a *args) zones() []string {
	all := []string{} // unlike nil: no zone at all, not those of the block
	for a.more() {
		w := a.word("")
		if a.absent() {
			continue
		}
		if len(w) > 1 && w[0] == '.' && w[1] != '.' && isDomainName(w[1:]) {
			a.warnf("%q begins with a dot: no name is in it, and it is passed over", w)
			continue
		}
		key, err := parseKey(w, 0)
		if err != nil {
			a.fail("%v", err)
			return nil
		}
		for _, text := range doubts(w) {
			a.warnf("%s", text)
		}
		if d, err := time.ParseDuration(w + when(w[len(w)-1] <= '9', "s")); err == nil && d > 0 {
			a.warnf("%q is read as a zone: a TTL is a number of seconds, without a unit, and stands first", w)
		}
		all = append(all, key.zones...)
	}
	return all
}

// zonesOr reads the zones that are left. Without any it returns a copy of others.
func (a *args) zonesOr(others ...string) []string {
	if a.more() || a.err != nil {
		return a.zones()
	}
	return slices.Clone(others)
}

// endpoint reads an optional "host:port" to listen on.
func (a *args) endpoint(standard string) string {
	if !a.more() {
		return standard
	}
	w := a.word("")
	if before, path, has := strings.Cut(w, "/"); has && (a.name == "ready" || a.name == "prometheus") {
		a.warnf("%q is passed over: the path is that of the directive", "/"+path) // CoreDNS starts, and does not listen
		w = before
	}
	_, port, err := net.SplitHostPort(w)
	if _, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil {
		a.fail("got %q, wants an address with a port such as %s", w, standard)
	}
	return w
}

// options reads the block of a directive, one option a line.
func (a *args) options(table options) { a.optionsOr(table, nil) }

// optionsOr reads the block of a directive. A line whose name is not in the table goes to other, which returns false
// when it does not know the line either.
func (a *args) optionsOr(table options, other func(*args) bool) {
	a.end()
	for _, s := range a.lines {
		o := &args{statement: s, world: a.world, title: a.title + ": " + s.name, warn: a.warn, idle: a.idle}
		o.option(a.title, table, other)
		a.keep(o)
	}
}

func (a *args) option(directive string, table options, other func(*args) bool) {
	read, known := table[a.name]
	switch {
	case known && read == nil:
		a.err = adviceOn(directive).insteads[a.name].errorf(a.at, "%s: option %q is not served", directive, a.name)
	case known:
		read(a)
	case other == nil || !other(a):
		a.err = a.at.errorf("%s: unknown option %q%s%s", directive, a.name, a.hintOption(table), hintUnset(a.variables()))
	}
	a.finish()
}

// hintOption says which option may be meant, or which are served.
func (a *args) hintOption(table options) string {
	names := slices.Sorted(maps.Keys(table))
	if hint := DidYouMean(a.name, names); hint != "" {
		return hint
	}
	names = slices.DeleteFunc(names, func(name string) bool { return table[name] == nil })
	return when(len(names) > 0, " (options: %s)", strings.Join(names, ", "))
}

// finish ends an option, or a directive without options: it fails when a word or a block is left.
func (a *args) finish() {
	a.end()
	if len(a.lines) > 0 {
		a.fail("takes no block { … }")
	}
}

func sentence(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
