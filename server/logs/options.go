package logs

import (
	"log/slog"
	"regexp"
	"strings"
	"time"
)

// Log says which queries are logged, and how (directive log).
type Log struct {
	Zone    string  // names at or below it; default "."
	Format  string  // text with placeholders; default CommonLog; {common} and {combined} are already replaced
	Classes Classes // default all
}

// The formats that have a name.
const (
	CommonLog = `{remote}:{port} - {>id} "{type} {class} {name} {proto} {size} {>do} {>bufsize}" ` +
		`{rcode} {>rflags} {rsize} {duration}`
	CombinedLog = CommonLog + ` "{>opcode}"`
	JSONLog     = "{json}" // an object for each query: see appendJSON
)

// Classes is a set of classes of answers.
type Classes uint8

// The classes of `log`.
const (
	Success Classes = 1 << iota // an answer with records, or a referral
	Denial                      // NXDOMAIN or NODATA
	Failure                     // any other rcode (`class error`)

	AllClasses = Success | Denial | Failure
)

// String is the names of the classes.
func (c Classes) String() string {
	if c == AllClasses {
		return "all"
	}
	var all []string
	for i, name := range []string{"success", "denial", "error"} {
		if c&(1<<i) != 0 {
			all = append(all, name)
		}
	}
	return strings.Join(all, " ")
}

// Errors says how the failures of a server block are logged (directive errors).
type Errors struct {
	Stacktrace  bool
	Consolidate []Consolidate // the first that matches takes the line
}

// Consolidate counts messages that match a pattern and logs their sum.
type Consolidate struct {
	Period    time.Duration
	Pattern   *regexp.Regexp
	Level     slog.Level // of the sum; default error
	ShowFirst bool       // the first message of a period is logged at once
}
