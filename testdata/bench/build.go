//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// bench is one run: its folder, what was built, what runs.
type bench struct {
	options
	ctx     context.Context
	root    string            // of the repository
	dir     string            // temporary, with everything that this run writes
	head    string            // what this tree is, in words of git
	commit  string            // what against is
	all     []peer            // that there are
	paths   map[string]string // of commands
	worlds  map[worldKey]*world
	up      upstreams
	started int
	ports   int
}

// prepare builds what the rows need.
func prepare(ctx context.Context, o options, rows []row) (b *bench, err error) {
	b = &bench{options: o, ctx: ctx, all: allPeers(), paths: map[string]string{}, worlds: map[worldKey]*world{}}
	if b.root, err = output("", "git", "rev-parse", "--show-toplevel"); err != nil {
		return nil, errors.New("start it in the repository: go run ./testdata/bench")
	}
	if err := b.findPrograms(rows); err != nil {
		return nil, err
	}
	if b.dir, err = os.MkdirTemp("", "clusterdns-bench"); err != nil {
		return nil, err
	}
	if err = b.build(rows); err == nil {
		err = errors.Join(b.startUpstreams(), b.startNeighbours())
	}
	if err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// close ends everything and removes the folder.
func (b *bench) close() {
	b.closeUnused(nil)
	b.up.stop()
	if b.against != "" {
		output(b.root, "git", "worktree", "remove", "--force", b.worktree())
	}
	os.RemoveAll(b.dir)
}

// program is one that Debian has.
type program struct{ name, pack string }

// findPrograms looks for all foreign programs that the rows need, and names the packages of those that are missing.
func (b *bench) findPrograms(rows []row) error {
	wanted := []program{{"git", "git"}, {"gcc", "gcc"}, {"dnsperf", "dnsperf"}}
	if b.trace {
		wanted = append(wanted, program{"strace", "strace"})
	}
	for _, p := range b.peersOf(rows) {
		if p.program != (program{}) {
			wanted = append(wanted, p.program)
		}
	}
	var missing []string
	for _, w := range wanted {
		path, err := exec.LookPath(w.name)
		if err != nil {
			path, err = exec.LookPath("/usr/sbin/" + w.name) // not on everybody's path
		}
		if err != nil {
			missing = append(missing, fmt.Sprintf("%s (package %s)", w.name, w.pack))
		}
		b.paths[w.name] = path
	}
	if missing != nil {
		return fmt.Errorf("not installed: %s; -peers chooses servers", strings.Join(missing, ", "))
	}
	return nil
}

// peersOf is the servers that the rows compare and the flags allow.
func (b *bench) peersOf(rows []row) (list []*peer) {
	for i := range b.all {
		p := &b.all[i]
		for _, r := range rows {
			if b.takesPart(p, r) {
				list = append(list, p)
				break
			}
		}
	}
	return list
}

func (b *bench) worktree() string { return filepath.Join(b.dir, "against") }

// build builds the servers of this repository. What takes minutes the first time is in Go's build cache afterwards.
func (b *bench) build(rows []row) (err error) {
	if b.head, err = output(b.root, "git", "describe", "--always", "--dirty", "--exclude", "*"); err != nil {
		return err
	}
	if err := b.compile("clusterdns", b.root, "."); err != nil {
		return err
	}
	if b.against != "" {
		if err := b.buildCommit(); err != nil {
			return err
		}
	}
	b.paths["echo"] = filepath.Join(b.dir, "echo")
	if _, err := output(b.root, "gcc", "-O2", "-pthread", "-o", b.paths["echo"], "testdata/bench/echo/echo.c"); err != nil {
		return err
	}
	if b.size > 0 {
		if err := b.compile("apiserver", b.root+"/testdata/apiserver", "."); err != nil {
			return err
		}
		if err := b.compile("load", b.root+"/testdata/apiserver", "./load"); err != nil {
			return err
		}
	}
	for _, p := range b.peersOf(rows) {
		if p.name == "CoreDNS" {
			return b.compile("coredns", b.root+"/testdata/peers", "./coredns")
		}
	}
	return nil
}

// buildCommit builds clusterdns at the commit in a worktree of its own.
func (b *bench) buildCommit() (err error) {
	if b.commit, err = output(b.root, "git", "rev-parse", "--short", b.against+"^{commit}"); err != nil {
		return err
	}
	if _, err := output(b.root, "git", "worktree", "add", "--detach", b.worktree(), b.commit); err != nil {
		return err
	}
	return b.compile("against", b.worktree(), ".")
}

// compile builds a package of the module in dir. Go keeps what it has linked for go run alone, so that it is linked once for
// all runs.
func (b *bench) compile(name, dir, pack string) error {
	b.say("building %s", name)
	b.paths[name] = filepath.Join(b.dir, "clusterdns-"+name)
	_, err := b.output(dir, "go", "run", "-exec", "cp", pack, b.paths[name])
	return err
}

// output runs a command and returns what it prints, without the last line break.
func (b *bench) output(dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(b.ctx, name, args...)
	cmd.Dir = dir
	return said(cmd)
}

func output(dir, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	return said(cmd)
}

func said(cmd *exec.Cmd) (string, error) {
	var complaints strings.Builder
	cmd.Stderr = &complaints
	text, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, complaints.String())
	}
	return strings.TrimRight(string(text), "\n"), nil
}

// say reports progress.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}

// about says what was measured, where.
func (b *bench) about() string {
	text := fmt.Sprintf("clusterdns %s", b.head)
	if b.commit != "" {
		text += ", beside it " + b.commit
	}
	return text + fmt.Sprintf("; %d services; %d rounds of %v; %d CPUs, %d kept busy; Linux %s, %s.\nIn rows about forwarding \"x echo\" is of two echoes.\n\n",
		b.size, b.rounds, b.seconds, runtime.NumCPU(), b.busy, release(), runtime.GOARCH)
}
