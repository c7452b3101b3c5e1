package config

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

const (
	document   = "../../docs/directives.md"
	vocabulary = corefiles + "coredns-1.15.0.txt" // testdata/peers holds it to CoreDNS's source
)

// The outcomes of a sample.
const (
	isServed  = "served"
	isIdle    = "accepted without effect"
	isRefused = "refused"
)

// TestDocument holds the table of directives in the documentation to what the readers do with the samples of the guide.
func TestDocument(t *testing.T) {
	got := makeDocument(t)
	if *update {
		if err := os.WriteFile(document, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(string(want), got); diff != "" {
		t.Errorf("write it anew with go test ./server/config -run TestDocument -update (-there +now):\n%s", diff)
	}
}

// TestGuide: each directive of the table has its advice.
func TestGuide(t *testing.T) {
	var names []string
	for _, a := range guide() {
		names = append(names, a.name)
		if a.without == "" || !strings.HasPrefix(a.line, a.name) {
			t.Errorf("%s: incomplete", a.name)
		}
	}
	for _, name := range namesOf(directives()) {
		if !slices.Contains(names, name) {
			t.Errorf("%s has no line in guide.go", name)
		}
	}
}

// TestVocabulary: the guide has each directive of CoreDNS, and in its samples each word that CoreDNS knows for it.
func TestVocabulary(t *testing.T) {
	for name, words := range readVocabulary(t) {
		a := adviceOn(name)
		if a.name == "" {
			t.Errorf("guide.go has no %s", name)
		}
		samples := separators.Split(strings.Join(slices.Concat([]string{a.line}, a.forms, a.options), " "), -1)
		for _, word := range words {
			if !slices.Contains(samples, word) && !slices.Contains(oddWords, name+" "+word) {
				t.Errorf("%s: no sample in guide.go has CoreDNS's %q", name, word)
			}
		}
	}
}

var separators = regexp.MustCompile(`[\s:/]+`)

// oddWords is what CoreDNS compares words to that is none of a Corefile.
var oddWords = []string{
	"tls http", "tls https", "tsig algorithm", "tsig key",
}

// readVocabulary is the words of each directive.
func readVocabulary(t *testing.T) map[string][]string {
	t.Helper()
	content, err := os.ReadFile(vocabulary)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for line := range strings.Lines(string(content)) {
		name, words, _ := strings.Cut(line, ":")
		all[name] = strings.Fields(words)
	}
	return all
}

// TestOwnOptions: the guide has each option of our readers.
func TestOwnOptions(t *testing.T) {
	for _, a := range guide() {
		sampled := []string{}
		for _, line := range slices.Concat(a.options, a.forms) {
			sampled = append(sampled, strings.Fields(line)...)
		}
		for _, name := range ownOptions(t, a) {
			if !slices.Contains(sampled, name) {
				t.Errorf("%s: no sample in guide.go has the option %q", a.name, name)
			}
		}
	}
}

// ownOptions is the options that an error names where one is unknown.
func ownOptions(t *testing.T, a advice) []string {
	t.Helper()
	r := a.examine(t, a.line, "0123456789 0123456789 0123456789")
	for _, mistake := range r.Errors {
		if _, list, has := strings.Cut(mistake.Text, "(options: "); has {
			return strings.Split(strings.TrimSuffix(list, ")"), ", ")
		}
	}
	return nil
}

// examine reads a block with a line of the directive, the options that it needs, and another.
func (a advice) examine(t *testing.T, line string, option ...string) *Report {
	t.Helper()
	options := slices.Clone(a.needs)
	if line != a.line {
		options = nil
	}
	for _, o := range option {
		if !slices.Contains(options, o) {
			options = append(options, o)
		}
	}
	if len(options) > 0 {
		line += " {\n" + strings.Join(options, "\n") + "\n}"
	}
	w := island(t, &txtar.Archive{Files: documentFiles(t)})
	return w.examine("Corefile", []byte(". {\n"+a.beside+"\n"+line+"\n}\n"), Settings{Port: 53})
}

// documentFiles is what the samples name.
func documentFiles(t *testing.T) []txtar.File {
	t.Helper()
	zone := []byte("@ 60 IN SOA ns h 1 60 60 60 60\n@ 60 IN NS ns\nns 60 IN A 192.0.2.1\n")
	kubeconfig := "current-context: a\ncontexts: [{name: a, context: {cluster: c}}]\n" +
		"clusters: [{name: c, cluster: {server: 'https://192.0.2.1'}}]\n"
	return append(keyFiles(t, "Kexample.org.+013+45330"), []txtar.File{
		{Name: "etc/resolv.conf", Data: []byte("nameserver 192.0.2.53\nsearch a.test\n")}, {Name: "etc/hosts"},
		{Name: "db.example.org", Data: zone}, {Name: "folder/db.example.org", Data: zone}, {Name: "weights"},
		{Name: "kubeconfig", Data: []byte(kubeconfig)}, {Name: "secret", Data: []byte("0123456789abcdef")},
	}...)
}

// outcome is what becomes of a sample, and why.
func (a advice) outcome(t *testing.T, line string, option ...string) (status, why string) {
	t.Helper()
	r, plain := a.examine(t, line, option...), a.examine(t, a.line)
	text := strings.Join(append([]string{line}, option...), " ")
	for _, mistake := range r.Errors {
		refusal := notServed.FindStringSubmatch(mistake.Text)
		if mistake.Directive != a.name || refusal == nil || r.Errors[0] != mistake {
			t.Errorf("%s: %v", text, mistake)
			continue
		}
		if refusal[1] == "" {
			t.Errorf("%s: guide.go does not say what to write instead", text)
		}
		return isRefused, refusal[1]
	}
	if r.WithoutEffect > 0 && (len(option) == 0 || r.WithoutEffect > plain.WithoutEffect) {
		warnings := r.Config.Warnings
		return isIdle, warningTitle.ReplaceAllString(warnings[len(warnings)-1], "")
	}
	return isServed, ""
}

var (
	notServed    = regexp.MustCompile(` is not served(?:; instead: (.*))?$`) // as a reader refuses what it knows
	warningTitle = regexp.MustCompile(`^Corefile:[0-9]+: ([a-z0-9_-]+: )*`)
)

const preface = `# Directives

What clusterdns does with each directive of CoreDNS 1.15, and with each option: **served**, **accepted without effect**,
or **refused**, and then what to write instead. The grammar is CoreDNS's, with ` + "`import`, snippets and `{$VARIABLES}`" + `.
For a Corefile of yours ` + "`clusterdns check`" + ` says the same, with the lines. This page is made from the readers of the
directives: ` + "`go test ./server/config -run TestDocument -update`" + `.

| Directive | | Options without effect | Options refused |
|---|---|---|---|
`

// makeDocument has an overview, and a section for each directive.
func makeDocument(t *testing.T) string {
	var overview, sections strings.Builder
	words := readVocabulary(t)
	all := guide()
	slices.SortFunc(all, func(a, b advice) int { return strings.Compare(a.name, b.name) })
	for _, a := range all {
		status, why := a.outcome(t, a.line)
		fmt.Fprintf(&sections, "\n## %s\n\n%s", a.name, a.introduce(status, why, words))
		if status == isRefused {
			fmt.Fprintf(&overview, "| [%s](#%s) | refused; instead: %s | | |\n", a.name, a.name, why)
			sections.WriteString(refusedSamples(a))
			continue
		}
		byStatus := map[string][]string{}
		sections.WriteString("\n| Line | | |\n|---|---|---|\n")
		for _, line := range append([]string{a.line}, a.forms...) {
			status, why := a.outcome(t, line)
			fmt.Fprintf(&sections, "| %s | %s | %s |\n", code(line), status, why)
		}
		for _, line := range a.options {
			status, why := a.outcome(t, a.line, line)
			name := strings.Fields(line)[0]
			byStatus[status] = append(byStatus[status], "`"+name+"`")
			if known, is := words[a.name]; is && !slices.Contains(known, name) && a.isOwn(name) {
				why = strings.TrimPrefix(why+"; not in CoreDNS 1.15", "; ")
			}
			fmt.Fprintf(&sections, "| … %s | %s | %s |\n", code(line), status, why)
		}
		fmt.Fprintf(&overview, "| [%s](#%s) | %s | %s | %s |\n", a.name, a.name, status,
			strings.Join(slices.Compact(byStatus[isIdle]), ", "), strings.Join(slices.Compact(byStatus[isRefused]), ", "))
	}
	overview.WriteString("\nWhat to write for [plugins that are not CoreDNS's](#plugins-that-are-not-corednss) stands at the end.\n")
	return preface + overview.String() + sections.String() + external()
}

// isOwn reports whether a word is an option and not a line of hosts.
func (a advice) isOwn(word string) bool { return a.name != "hosts" || word[0] > '9' }

func (a advice) introduce(status, why string, words map[string][]string) string {
	var b strings.Builder
	if _, is := words[a.name]; !is {
		b.WriteString("Not a directive of CoreDNS 1.15. ")
	}
	if status == isRefused {
		fmt.Fprintf(&b, "**Refused**%s%s. ", when(why != "", "; instead: %s", why),
			when(a.instead.example != "", ", as in %s", example(a.instead)))
	}
	fmt.Fprintf(&b, "Without it: %s.%s\n", a.without, when(a.spare, " It can be left out."))
	return b.String()
}

// external is the section of plugins that are not CoreDNS's.
func external() string {
	var b strings.Builder
	b.WriteString("\n## Plugins that are not CoreDNS's\n\n| Plugin | Instead | As in |\n|---|---|---|\n")
	all := externals()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		s := all[name]
		fmt.Fprintf(&b, "| %s | %s | %s |\n", name, cmp.Or(s.words, "nothing serves its purpose"), example(s))
	}
	return b.String()
}

// example is that of a substitute, in a line.
func example(s substitute) string { return when(s.example != "", "%s", code(s.example)) }

func refusedSamples(a advice) string {
	all := []string{code(a.line)}
	for _, line := range slices.Concat(a.forms, a.options) {
		all = append(all, code(line))
	}
	return "\nIts lines: " + strings.Join(all, ", ") + ".\n"
}

// code is a sample as a cell shows it.
func code(line string) string {
	return "`" + strings.NewReplacer("|", `\|`, "{\n", "{ ", "\n}", " }", "\n", "` `").Replace(line) + "`"
}
