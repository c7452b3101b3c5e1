package server

import (
	"bytes"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/server/config"
)

// pages are the documents whose console blocks and Corefiles are run here.
var pages = []string{"README.md", "docs/commands.md", "docs/corefile.md", "docs/dashboard.md", "docs/debugging.md", "docs/migrate.md"}

// TestReadmeCommands runs each command of the console blocks of pages as a reader would, and compares what it prints.
// The demo is the real one, on another port. A dig is answered by a client made here that prints as dig does, so that
// the test needs nothing but Go; where there is a dig of today it is run too, and must agree.
func TestReadmeCommands(t *testing.T) {
	t.Chdir("..")
	commands := documentedCommands(t)
	if len(commands) < 10 {
		t.Fatalf("only %d commands found", len(commands))
	}
	d := startDemo(t)
	realDig := todaysDig(t)
	for _, c := range commands {
		t.Run(c.line, func(t *testing.T) {
			want := normal(c.output)
			if diff := cmp.Diff(want, normal(runPipe(t, c.line, d.port, digest))); diff != "" {
				t.Errorf("%s (-there +here):\n%s", c.at, diff)
			}
			if realDig == "" || !strings.HasPrefix(c.line, "dig ") {
				return
			}
			if diff := cmp.Diff(want, normal(runPipe(t, c.line, d.port, runDig(realDig)))); diff != "" {
				t.Errorf("%s (-there +%s):\n%s", c.at, realDig, diff)
			}
		})
	}
}

// TestReadmeDemo holds the questions that the demo proposes to those that the README shows the answers of.
func TestReadmeDemo(t *testing.T) {
	t.Chdir("..")
	printed := startDemo(t).out.String()
	for _, c := range documentedCommands(t) {
		name, found := strings.CutPrefix(c.line, "dig @127.0.0.1 -p 1053 ")
		if !found {
			continue
		}
		name, _, _ = strings.Cut(strings.TrimPrefix(name, "+noall +answer "), " |")
		if !strings.Contains(printed, " "+name+" ") {
			t.Errorf("%s asks for %q, which the demo does not propose", c.at, name)
		}
	}
}

// documentedCommand is a line that begins with "$ " in a console block, and what the document says it prints.
type documentedCommand struct {
	line   string
	at     string // document:line
	output string
}

func documentedCommands(t *testing.T) (commands []documentedCommand) {
	t.Helper()
	for _, page := range pages {
		commands = append(commands, commandsIn(document(t, page), page)...)
	}
	return commands
}

// commandsIn are the commands of a text of page.
func commandsIn(text, page string) (commands []documentedCommand) {
	inside := false
	for i, line := range strings.Split(text, "\n") {
		switch {
		case strings.HasPrefix(line, "```"):
			inside = line == "```console"
		case !inside:
		case strings.HasPrefix(line, "$ "):
			commands = append(commands, documentedCommand{line: line[2:], at: fmt.Sprintf("%s:%d", page, i+1)})
		case len(commands) > 0:
			commands[len(commands)-1].output += line + "\n"
		}
	}
	return commands
}

// document is the text of a file, by its path from the root of the module.
func document(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// documents are all that is written for readers.
func documents(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	return append(all, "README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
}

// demonstration is a running `clusterdns demo`.
type demonstration struct {
	out  *lockedBuffer
	port string
}

// startDemo runs the demo on a free port until the test ends, by the signal that ends it for everybody.
func startDemo(t *testing.T, arguments ...string) demonstration {
	t.Helper()
	out, ended := &lockedBuffer{}, make(chan int, 1)
	go func() { ended <- Main(append([]string{"clusterdns", "demo", "-p", "0"}, arguments...), nil, out, out) }()
	t.Cleanup(func() {
		select {
		case <-ended: // and nobody would catch the signal
			return
		default:
		}
		if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if status := <-ended; status != 0 {
			t.Errorf("the demo ended with status %d:\n%s", status, out)
		}
	})
	port := regexp.MustCompile(`dig @127\.0\.0\.1 -p (\d+) `)
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if strings.Contains(out.String(), "Queries, as they come") {
			return demonstration{out, port.FindStringSubmatch(out.String())[1]}
		}
		if len(ended) > 0 {
			break
		}
	}
	t.Fatalf("the demo did not start:\n%s", out)
	return demonstration{}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// digger answers the arguments of a dig command with what dig prints.
type digger func(arguments []string) (string, error)

// runPipe runs a shell line of the few programs that the README needs: clusterdns, dig, grep -E and printf, with pipes
// between them. What goes to stderr is shown too, as on a terminal.
func runPipe(t *testing.T, line, port string, dig digger) (text string) {
	t.Helper()
	for i, words := range shellWords(t, line) {
		var err error
		switch program, rest := words[0], words[1:]; {
		case program == "./clusterdns":
			var out bytes.Buffer
			Main(append([]string{"clusterdns"}, rest...), strings.NewReader(text), &out, &out)
			text = out.String()
		case program == "dig" && i == 0:
			text, err = dig(onPort(rest, port))
		case program == "printf" && i == 0 && len(rest) == 1:
			text = strings.ReplaceAll(rest[0], `\n`, "\n")
		case program == "grep" && i > 0 && len(rest) == 2 && rest[0] == "-E":
			text, err = grep(rest[1], text)
		default:
			t.Fatalf("this test cannot run %q", words)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return text
}

// shellWords cuts a line at its pipes and spaces. Single quotes hold words together.
func shellWords(t *testing.T, line string) [][]string {
	t.Helper()
	pipe := [][]string{nil}
	for _, word := range regexp.MustCompile(`'[^']*'|[^\s']+`).FindAllString(line, -1) {
		if word == "|" {
			pipe = append(pipe, nil)
			continue
		}
		last := &pipe[len(pipe)-1]
		*last = append(*last, strings.Trim(word, "'"))
	}
	if slices.ContainsFunc(pipe, func(words []string) bool { return len(words) == 0 }) {
		t.Fatalf("not a command: %s", line)
	}
	return pipe
}

// onPort is arguments with the port of the demo that runs here.
func onPort(arguments []string, port string) []string {
	arguments = slices.Clone(arguments)
	if i := slices.Index(arguments, "-p"); i >= 0 && arguments[i+1] == demoPort {
		arguments[i+1] = port
	}
	return arguments
}

func grep(pattern, text string) (out string, err error) {
	expression, err := regexp.Compile(pattern)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(text) {
		if expression.MatchString(line) {
			out += line
		}
	}
	return out, nil
}

// normal is output without what differs from run to run or from machine to machine: columns, ids, and whether
// /etc/resolv.conf has nameservers.
func normal(output string) (lines []string) {
	for _, change := range []struct{ pattern, to string }{
		{`\bid: \d+`, "id: ID"},
		{`warning: .*"/etc/resolv.conf".*only the other upstreams are asked until it has one\n`, ""},
	} {
		output = regexp.MustCompile(change.pattern).ReplaceAllString(output, change.to)
	}
	for line := range strings.Lines(output) {
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// todaysDig is the path of a dig that prints as 9.18 does, "" when there is none.
func todaysDig(t *testing.T) string {
	path, err := exec.LookPath("dig")
	if err != nil {
		return ""
	}
	said, _ := exec.Command(path, "-v").CombinedOutput()
	version := regexp.MustCompile(`DiG 9\.(\d+)\.`).FindStringSubmatch(string(said))
	if version == nil {
		return ""
	}
	if minor, _ := strconv.Atoi(version[1]); minor < 18 {
		t.Logf("not compared with %s", bytes.TrimSpace(said))
		return ""
	}
	return path
}

// runDig runs the dig at path.
func runDig(path string) digger {
	return func(arguments []string) (string, error) {
		command := exec.Command(path, arguments...)
		command.Env = append(os.Environ(), "HOME=/nonexistent") // no .digrc
		out, err := command.Output()
		return string(out), err
	}
}

// digest is dig, as far as the README uses it.
func digest(arguments []string) (string, error) {
	client := &dns.Client{Timeout: 5 * time.Second, UDPSize: 1232}
	question := dns.Question{Qtype: dns.TypeA, Qclass: dns.ClassINET}
	port, address, comments := "53", "", true
	for i := 0; i < len(arguments); i++ {
		switch word := arguments[i]; {
		case strings.HasPrefix(word, "@"):
			address = word[1:]
		case word == "-p":
			i++
			port = arguments[i]
		case word == "-x":
			i++
			question.Name, _ = dns.ReverseAddr(arguments[i])
			question.Qtype = dns.TypePTR
		case word == "+tcp":
			client.Net = "tcp"
		case word == "+noall":
			comments = false
		case word == "+answer": // is printed anyway
		case strings.HasPrefix(word, "+"):
			return "", fmt.Errorf("dig: unknown option %s", word)
		case question.Name == "":
			question.Name = dns.Fqdn(word)
		default:
			question.Qtype = dns.StringToType[word]
		}
	}
	if address == "" || question.Name == "" || question.Qtype == 0 {
		return "", fmt.Errorf("dig: what is %q?", arguments)
	}
	query := &dns.Msg{Question: []dns.Question{question}}
	query.Id, query.RecursionDesired, query.AuthenticatedData = dns.Id(), true, true
	query.SetEdns0(1232, false)
	reply, _, err := client.Exchange(query, address+":"+port)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	if comments {
		digComments(&out, reply)
	}
	for _, record := range reply.Answer {
		fmt.Fprintln(&out, record)
	}
	return out.String(), nil
}

// digComments prints the header and the OPT as dig 9.18 does.
func digComments(out io.Writer, m *dns.Msg) {
	fmt.Fprintf(out, ";; Got answer:\n;; ->>HEADER<<- opcode: %s, status: %s, id: %d\n;; flags:",
		dns.OpcodeToString[m.Opcode], dns.RcodeToString[m.Rcode], m.Id)
	for _, flag := range []struct {
		name string
		set  bool
	}{{"qr", m.Response}, {"aa", m.Authoritative}, {"tc", m.Truncated}, {"rd", m.RecursionDesired}, {"ra",
		m.RecursionAvailable},
		{"ad", m.AuthenticatedData}, {"cd", m.CheckingDisabled}} {
		if flag.set {
			fmt.Fprint(out, " "+flag.name)
		}
	}
	fmt.Fprintf(out, "; QUERY: %d, ANSWER: %d, AUTHORITY: %d, ADDITIONAL: %d\n", len(m.Question), len(m.Answer),
		len(m.Ns), len(m.Extra))
	opt := m.IsEdns0()
	if opt == nil {
		return
	}
	fmt.Fprintf(out, "\n;; OPT PSEUDOSECTION:\n; EDNS: version: %d, flags:; udp: %d\n", opt.Version(), opt.UDPSize())
	for _, option := range opt.Option {
		if why, ok := option.(*dns.EDNS0_EDE); ok {
			fmt.Fprintf(out, "; EDE: %d (%s): (%s)\n", why.InfoCode, dns.ExtendedErrorCodeToString[why.InfoCode], why.ExtraText)
		}
	}
}

// TestReadmeNames looks for what the documents name: each path, the names they say are in a file, each metric, each
// heading that a link is to. The README is for one look.
func TestReadmeNames(t *testing.T) {
	t.Chdir("..")
	sources := sourcesOf(t, "server") + sourcesOf(t, "server/*")
	for _, name := range documents(t) {
		text := document(t, name)
		checkNames(t, name, text)
		for _, metric := range regexp.MustCompile(`\b(?:coredns|clusterdns)_[a-z_]+\b`).FindAllString(text, -1) {
			if !strings.Contains(sources, `"`+metric+`"`) && !strings.Contains(sources, `"`+strings.TrimPrefix(metric,
				"coredns_cache_")+`"`) {
				t.Errorf("%s names the metric %s, which no source has", name, metric)
			}
		}
	}
	if lines := strings.Count(document(t, "README.md"), "\n"); lines > 130 {
		t.Errorf("README.md has %d lines", lines)
	}
	for page, block := range map[string]string{"docs/differences.md": "differences", "docs/performance.md": "figures"} {
		text := document(t, page)
		begin, end := strings.Index(text, "<!-- "+block+":begin -->"), strings.Index(text, "<!-- "+block+":end -->")
		if begin < 0 || end < begin {
			t.Errorf("%s has lost the markers of %s", page, block)
		}
	}
}

// checkNames looks for the paths, the names in files and the headings that a document names.
func checkNames(t *testing.T, name, text string) {
	t.Helper()
	for _, path := range paths(filepath.Dir(name), text) {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s names %s: %v", name, path, errors.Unwrap(err))
		}
	}
	inFile := regexp.MustCompile("`([a-z0-9_/]+\\.go)`(?: above)?((?:,? `\\w+`)+)")
	for _, found := range inFile.FindAllStringSubmatch(text, -1) {
		content, _ := os.ReadFile(found[1]) // a missing file is reported above
		for _, identifier := range regexp.MustCompile(`\w+`).FindAllString(found[2], -1) {
			if !regexp.MustCompile(`\b` + identifier + `\b`).Match(content) {
				t.Errorf("%s says that %s has %s, and it has not", name, found[1], identifier)
			}
		}
	}
	for _, link := range regexp.MustCompile(`\]\(([^):#]*)#([^)]*)\)`).FindAllStringSubmatch(text, -1) {
		to := text
		if link[1] != "" {
			to = document(t, filepath.Join(filepath.Dir(name), link[1]))
		}
		if !headings(to)[link[2]] {
			t.Errorf("%s links to %s#%s, and there is no such heading", name, link[1], link[2])
		}
	}
}

// headings are the anchors of a document.
func headings(text string) map[string]bool {
	all := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		anchor := regexp.MustCompile(`[^\w -]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		all[strings.ReplaceAll(anchor, " ", "-")] = true
	}
	return all
}

// TestReadmeCorefiles checks each Corefile that pages show.
func TestReadmeCorefiles(t *testing.T) {
	t.Chdir("..")
	shown := 0
	for _, page := range pages {
		for _, block := range regexp.MustCompile("(?s)```corefile\n(.*?)```").FindAllStringSubmatch(document(t, page), -1) {
			var out bytes.Buffer
			arguments := []string{"clusterdns", "check", "-conf", "stdin"}
			if status := Main(arguments, strings.NewReader(block[1]), &out, &out); status != 0 {
				t.Errorf("%s: status %d for\n%s%s", page, status, block[1], &out)
			}
			shown++
		}
	}
	if shown == 0 {
		t.Error("no Corefile is shown")
	}
}

// TestReadmeDirectives: the short table has every directive that is served.
func TestReadmeDirectives(t *testing.T) {
	t.Chdir("..")
	text := document(t, "README.md")
	for _, d := range config.Directives() {
		if d != "proxy" && !strings.Contains(text, "`"+d+"`") {
			t.Errorf("README.md does not name the directive %s", d)
		}
	}
}

// TestArchitecture holds ARCHITECTURE.md to the tree: what it names, and its picture of the imports.
func TestArchitecture(t *testing.T) {
	t.Chdir("..")
	text := document(t, "ARCHITECTURE.md")
	for i, line := range strings.Split(text, "\n") {
		if !strings.HasPrefix(line, "|") && utf8.RuneCountInString(line) > 120 {
			t.Errorf("ARCHITECTURE.md:%d is longer than 120 columns", i+1)
		}
	}
	_, after, _ := strings.Cut(text, "<!-- after -->")
	picture, _, _ := strings.Cut(after, "\n```\n")
	var drawn []string
	for _, line := range regexp.MustCompile(`(?m)^ *(\S+) --> (.*)$`).FindAllStringSubmatch(picture, -1) {
		for to := range strings.SplitSeq(line[2], " & ") {
			drawn = append(drawn, line[1]+" --> "+to)
		}
	}
	slices.Sort(drawn)
	if diff := cmp.Diff(importArrows(t), drawn); diff != "" {
		t.Errorf("the picture of the imports (-tree +ARCHITECTURE.md):\n%s", diff)
	}
}

// importArrows are the imports between the rooms that are a part of the program, "from --> to".
func importArrows(t *testing.T) (arrows []string) {
	t.Helper()
	for room := range rooms {
		names, err := filepath.Glob(filepath.Join(room, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") || strings.HasPrefix(room, "testdata") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, spec := range file.Imports {
				other, ours := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), module+"/")
				if ours && !strings.HasPrefix(other, "testdata") {
					arrows = append(arrows, strings.Replace(room, ".", "main", 1)+" --> "+other)
				}
			}
		}
	}
	slices.Sort(arrows)
	return slices.Compact(arrows)
}

// TestReadmeReasons: each text of an Extended DNS Error that docs/debugging.md explains is one that the sources have.
func TestReadmeReasons(t *testing.T) {
	t.Chdir("..")
	sources := ""
	for _, folder := range []string{"resolver", "watch", "watch/object", "server/listen"} {
		sources += sourcesOf(t, folder)
	}
	varying := regexp.MustCompile(`NS/NAME|NS|ADDRESS|…|\b0 of 2\b`)
	rows := regexp.MustCompile("(?m)^\\| [0-9, ]+ (`.*?`) \\|").FindAllStringSubmatch(document(t, "docs/debugging.md"), -1)
	if len(rows) < 10 {
		t.Errorf("only %d rows", len(rows))
	}
	for _, row := range rows {
		for _, text := range regexp.MustCompile("`(.*?)`").FindAllStringSubmatch(row[1], -1) {
			for _, words := range varying.Split(text[1], -1) {
				if !strings.Contains(sources, words) {
					t.Errorf("docs/debugging.md explains %q, and no source says %q", text[1], words)
				}
			}
		}
	}
}

// paths are the files and folders of this module that the text of a document in folder names: targets of links, and words
// in backquotes that begin like one.
func paths(folder, text string) (all []string) {
	plain := regexp.MustCompile("`[^`\n]*`").ReplaceAllString(text, "")
	for _, link := range regexp.MustCompile(`\]\(([^):#]+)(?:#[^)]*)?\)`).FindAllStringSubmatch(plain, -1) {
		all = append(all, filepath.Join(folder, link[1]))
	}
	quoted := regexp.MustCompile("`((?:\\.ci|deploy|observe|resolver|server|testdata|watch|zones)/[^` ]*)")
	for _, word := range quoted.FindAllStringSubmatch(text, -1) {
		all = append(all, word[1])
	}
	return all
}

// sourcesOf is the text of the Go files of the folders that match a pattern.
func sourcesOf(t *testing.T, folders string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(folders, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(content)
	}
	return all.String()
}
