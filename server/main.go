package server

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/clusterdns/clusterdns/server/config"
	"github.com/clusterdns/clusterdns/server/logs"
)

// command is a first argument that clusterdns knows.
type command struct {
	name  string
	usage string // what follows the name
	help  string
	flags string // a line for each
	run   func(*console, []string) error
}

// console is where a command reads and writes.
type console struct {
	in       io.Reader
	out, err io.Writer
}

func commands() []command {
	return []command{
		{"demo", "[-f PATH | -kubeconfig FILE]", "serve a sample cluster, or yours, on 127.0.0.1 port 1053, and log each query",
			demoFlags, (*console).demo},
		{"records", "-f PATH | diff PATH PATH",
			"print every record that manifests or a cluster imply, or what differs", recordsFlags, (*console).records},
		{"check", "[-conf FILE] [-o json] [-p PORT]", "read a Corefile, say what it means, or where it is wrong",
			config.Flags("conf", "port") + checkFlags, (*console).check},
		{"explain", "NAME [-from NAMESPACE] [-server ADDRESS]",
			"say why a name resolves or not, question by question of the search list", explainFlags, (*console).explain},
		{"compare", "-a ADDRESS -b ADDRESS",
			"ask two servers the same, and say where they differ", compareFlags, (*console).compare},
		{"migrate", "[-f FILE] [-o kustomize DIR]",
			"read the ConfigMaps of CoreDNS, say what changes, write overlays or values", migrateFlags, (*console).migrate},
		{"top", "[-hour] [-server ADDRESS]", "show what a running server is asked most", topFlags, (*console).top},
		{"tail", "[-client C] [-name N] [-rcode R]", "print the queries of a running server as they come", tailFlags,
			(*console).tail},
		{"help", "", "print this text", "", (*console).help},
	}
}

const (
	checkFlags   = "  -o json              print one JSON object\n"
	recordsFlags = "  -f PATH            manifests: a folder, a file, or - for standard input; several may follow\n" +
		"  -kubeconfig FILE   list a live cluster once instead; a context may follow\n" +
		"  -context NAME      of the kubeconfig (default its current one)\n" +
		"  -name NAME         one service (web.shop), namespace (shop) or name, and what is below it\n" +
		"  -o json            print one JSON object\n" +
		"  -zone ZONE         cluster domain (default cluster.local)\n" +
		"  -ttl TTL           TTL of the records, in seconds or such as 1m (default 5)\n" +
		"diff compares two of a folder, a file, or -: it prints the records that came (+) and went (-). Its exit status is 0 if\n" +
		"there are none, 1 if there are, 2 if that cannot be told.\n"
)

// Main runs the program with its arguments, the name first, and returns the exit status: 0, or 1 after one line on
// stderr, or one for each mistake of a Corefile. compare has 2 as well.
func Main(arguments []string, in io.Reader, out, mistakes io.Writer) int {
	c := &console{in, out, mistakes}
	status := (*exit)(nil)
	if err := c.dispatch(arguments[1:]); errors.As(err, &status) {
		if status.error != nil {
			fmt.Fprintln(mistakes, lines(status.error))
		}
		return status.status
	} else if err != nil {
		fmt.Fprintln(mistakes, lines(err))
		return 1
	}
	return 0
}

func lines(err error) string {
	if mistakes := (config.Errors)(nil); errors.As(err, &mistakes) {
		return mistakes.Error()
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}

func (c *console) dispatch(arguments []string) error {
	if len(arguments) > 0 && !strings.HasPrefix(arguments[0], "-") {
		for _, command := range commands() {
			if command.name == arguments[0] {
				if err := command.run(c, arguments[1:]); !errors.Is(err, flag.ErrHelp) {
					return err
				}
				command.print(c.out)
				return nil
			}
		}
		return unknownCommand(arguments[0])
	}
	err := c.serve(arguments)
	if errors.Is(err, flag.ErrHelp) {
		return c.help(nil)
	}
	return err
}

// unknownCommand suggests the command that may be meant, or lists all of them.
func unknownCommand(word string) error {
	var names []string
	for _, command := range commands() {
		names = append(names, command.name)
	}
	hint := config.DidYouMean(word, append([]string{"-version", "-plugins"}, names...))
	if hint == "" {
		hint = "; the commands are " + strings.Join(names, ", ") + ", and without a command the Corefile is served"
	}
	return fmt.Errorf("unknown command %q%s", word, hint)
}

// print writes the help on one command.
func (c *command) print(to io.Writer) {
	fmt.Fprintf(to, "Usage: clusterdns %s %s\n\n%s%s.\n", c.name, c.usage, strings.ToUpper(c.help[:1]), c.help[1:])
	if c.flags != "" {
		fmt.Fprintf(to, "\n%s", c.flags)
	}
}

// help prints the help on the program, or on the command that arguments name.
func (c *console) help(arguments []string) error {
	if len(arguments) > 0 && arguments[0] != "help" {
		return c.dispatch([]string{arguments[0], "-h"})
	}
	fmt.Fprintf(c.out, "clusterdns answers DNS queries for a Kubernetes cluster and forwards the others. "+
		"It takes CoreDNS's place.\n\n"+
		"Usage: clusterdns %-42s serve the Corefile\n", "[FLAGS]")
	for _, command := range commands() {
		fmt.Fprintf(c.out, "       clusterdns %-8s %-33s %s\n", command.name, command.usage, command.help)
	}
	fmt.Fprintf(c.out, "\nFlags, each with the variable that sets it too; a command lists its own with -h:\n%s\n"+
		"Try:   clusterdns demo\n"+
		"SIGUSR1 reads the Corefile again; SIGTERM drains and ends, a second one ends at once; "+
		"SIGHUP and SIGUSR2 are ignored.\n"+
		"Corefile.example explains each directive.\n", config.Flags())
	return nil
}

// serve is the command without a name: flags, then the Corefile, until SIGTERM.
func (c *console) serve(arguments []string) error {
	settings, err := config.ReadSettings("clusterdns", arguments)
	if err != nil {
		return err
	}
	number, revision := config.ProgramVersion()
	switch {
	case settings.Version:
		fmt.Fprintf(c.out, "clusterdns-%s\n%s\n", number, platform(revision))
		return nil
	case settings.Plugins:
		fmt.Fprintln(c.out, "directives:\n  "+strings.Join(config.Directives(), "\n  "))
		return nil
	}
	load, err := c.loader(settings)
	if err != nil {
		return err
	}
	loaded, err := load()
	if err != nil {
		return orDemo(err)
	}
	if settings.PIDFile != "" {
		if err := os.WriteFile(settings.PIDFile, []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
			return fmt.Errorf("-pidfile: %w", err)
		}
		defer os.Remove(settings.PIDFile)
	}
	announce := func(p *Program) {
		if !settings.Quiet {
			p.announce(c.out, number, revision)
		}
	}
	// SIGHUP is the end of a terminal session, and SIGUSR2 makes CoreDNS start its binary anew; neither may kill the
	// process.
	signal.Ignore(syscall.SIGHUP, syscall.SIGUSR2)
	return c.run(loaded, load, announce)
}

// loader returns a function that reads the Corefile, each time anew. Standard input can be read only once, so its text
// is kept; files that it imports may change.
func (c *console) loader(settings config.Settings) (load func() (*config.Config, error), err error) {
	var text []byte
	if settings.Conf == config.Stdin {
		if text, err = io.ReadAll(c.in); err != nil {
			return nil, fmt.Errorf("%s: %w", config.Stdin, err)
		}
		if len(bytes.TrimSpace(text)) == 0 {
			return nil, errEmptyInput
		}
	}
	return func() (*config.Config, error) { return config.Load(settings, bytes.NewReader(text)) }, nil
}

// errEmptyInput is for a pipe whose first program has failed. A Corefile that is empty would be served as whoami.
var errEmptyInput = errors.New("standard input is empty: has the command before the pipe failed?")

// parseFlags reads flags and nothing else. It returns flag.ErrHelp when help is asked for.
func parseFlags(flags *flag.FlagSet, arguments []string) error {
	flags.SetOutput(io.Discard)
	err := flags.Parse(arguments)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return err
	case err != nil:
		return fmt.Errorf("%w; %s -h lists the flags", err, flags.Name())
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q; %s -h lists the flags", flags.Arg(0), flags.Name())
	}
	return nil
}

// orDemo adds to the error of a missing Corefile how to begin without one.
func orDemo(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; -conf FILE names another, and without any, try: clusterdns demo", err)
	}
	return err
}

// run serves loaded until SIGTERM or SIGINT. load is called again for each reload; nil when there is nothing to read
// again.
func (c *console) run(loaded *config.Config, load func() (*config.Config, error), started func(*Program)) error {
	reloads := make(chan os.Signal, 1) // SIGUSR1 must not kill the process before or after it is read here
	signal.Notify(reloads, syscall.SIGUSR1)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop)   // a second signal ends the process at once
	signal.Ignore(syscall.SIGPIPE) // when the reader of the log goes away, the name server must not end with it
	level := slog.LevelInfo
	if debugs(loaded) {
		level = slog.LevelDebug
	}
	lines := logs.NewWriter(c.out)
	writing := start(context.Background(), lines.Run)
	defer writing.stopWithin(flushTimeout)
	log := slog.New(logs.NewHandler(lines, level))
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err == nil {
		if warning := fewDescriptors(loaded, uint64(files.Cur)); warning != "" {
			log.Warn(warning)
		}
	}
	p := NewProgram(c.out, log)
	if err := p.apply(ctx, loaded); err != nil {
		p.Close()
		return err
	}
	started(p)
	p.Run(ctx, load, reloads)
	return nil
}

// debugs reports whether a server block has the directive debug.
func debugs(c *config.Config) bool {
	for _, l := range c.Listeners {
		if slices.ContainsFunc(l.Blocks, func(b config.Block) bool { return b.Debug }) {
			return true
		}
	}
	return false
}
