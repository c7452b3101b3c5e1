//go:build linux

package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/miekg/dns"
)

// question is one line of what dnsperf reads.
type question struct {
	name  string
	qtype uint16
}

// list makes the questions of a row. Two calls with the same seed give the same ones; what is to be unique differs by seed.
type list struct {
	make   func(b *bench, w *world, seed string, count int) ([]question, error)
	unique bool
	warm   bool // every question is asked before it is measured
	expect func([]*dns.Msg) error
}

// uniqueNames is names that nobody has asked yet.
func uniqueNames(zone string) list {
	return list{unique: true, expect: addresses(1), make: func(_ *bench, _ *world, seed string, count int) ([]question, error) {
		made := make([]question, count)
		for i := range made {
			made[i] = question{fmt.Sprintf("n%d-%s.%s", i, seed, zone), dns.TypeA}
		}
		return made, nil
	}}
}

// cachedNames is a thousand names of upstream, as often as they are needed.
var cachedNames = list{warm: true, expect: addresses(1), make: func(*bench, *world, string, int) ([]question, error) {
	made := make([]question, 1000)
	for i := range made {
		made[i] = question{fmt.Sprintf("host%d.cached.example.net.", i), dns.TypeA}
	}
	return made, nil
}}

// mixOf is questions that testdata/apiserver/load writes for the names of a cluster.
func mixOf(mix string, expect func([]*dns.Msg) error) list {
	return list{expect: expect, make: func(b *bench, w *world, _ string, _ int) ([]question, error) {
		file := filepath.Join(b.dir, fmt.Sprintf("names-%s-%d", mix, w.size))
		if _, err := os.Stat(file); err != nil {
			if _, err := b.output("", b.paths["load"], "-services", fmt.Sprint(w.size), "-mix", mix, "-names", file); err != nil {
				return nil, err
			}
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		return parseQuestions(string(text))
	}}
}

// parseQuestions reads what dnsperf reads.
func parseQuestions(text string) (list []question, err error) {
	for line := range strings.Lines(text) {
		name, kind, ok := strings.Cut(strings.TrimSpace(line), " ")
		qtype, known := dns.StringToType[kind]
		if !ok || !known {
			return nil, fmt.Errorf("not a question: %q", line)
		}
		list = append(list, question{dns.Fqdn(name), qtype})
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no questions")
	}
	return list, nil
}

// writeQuestions writes what dnsperf reads.
func writeQuestions(file string, list []question) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	for _, q := range list {
		fmt.Fprintln(w, q.name, dns.TypeToString[q.qtype])
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// ednsSize is what clients offer in rows with EDNS, as dnsperf does.
const ednsSize = 4096

// message is the query for it.
func (q question) message(edns bool) *dns.Msg {
	m := new(dns.Msg).SetQuestion(q.name, q.qtype)
	if edns {
		m.SetEdns0(ednsSize, false)
	}
	return m
}
