// Package stories reads and judges the stories of this folder. A story is a txtar archive about one behaviour: what is in a cluster,
// what records that makes, and what the server answers. The tests of three rooms tell the same files, so that the room that is wrong
// names itself: watch goes from cluster to records, resolver from records to answers, server from cluster to answers over real sockets.
//
// What stands before the first section says what the story is about and which text asks for it. The sections, all of them optional:
//
//	-- *.yaml --      manifests of the cluster; the Corefile finds them in the folder "cluster"
//	-- Corefile --    server blocks of one port; default is the one that kubeadm installs, without its endpoints. {$UPSTREAM} is the address
//	                  of the upstream below.
//	-- upstream --    what the server that is forwarded to knows: records in zone-file form, and lines such as
//	                      broken.example. SERVFAIL    the rcode for a name
//	                      broken.example. AAAA NXDOMAIN   the rcode for a name and a type
//	                      large.example. TC           truncated over UDP
//	                      signed.example. AD          says that it has validated the answer
//	                      mixed.example. backwards    the records of the answer in reverse order
//	                      size.example. offer         a TXT record of the UDP payload size that the query offers
//	                      mixed.example. answer RECORD    one more record in a section of each answer for the name
//	                      odd.example. reply HEX      the octets of the reply behind the ID
//	                      echo.example. echo          a TXT record with the flags and the OPT of the query
//	                      away.example. silence       no answer at all
//	                      EDNS FORMERR                the rcode, or silence, for all queries with EDNS
//	                  Of a name at or below an SOA's owner it denies what it does not know, and it refuses all others. Over UDP it keeps to
//	                  the size that is offered.
//	-- records --     what the cluster compiles to: zones.Snapshot.WriteText for the first zone of the first kubernetes directive,
//	                  without the service "kubernetes", which every cluster has, where no manifest writes one
//	-- imports --     what its ServiceImports compile to, for the first zone of "multicluster"
//	-- warnings --    what reading the cluster logs as a warning, one line each
//	-- answers --     questions and what is answered
//	-- NAME --        any other file is beside the Corefile, in the folder {$FOLDER}
//
// A question is a line that begins in the first column, its answer the indented lines below. A line that begins with # is a comment.
//
//	_http._tcp.web.prod.svc.cluster.local. SRV +tcp
//	    NOERROR aa rd ra
//	    answer      _http._tcp.web.prod.svc.cluster.local. 30 IN SRV 0 100 80 web.prod.svc.cluster.local.
//	    additional  web.prod.svc.cluster.local. 30 IN A 10.96.0.20
//	nope.prod.svc.cluster.local. A
//	    NXDOMAIN aa rd ra
//	    error       0 service prod/nope: not found
//	    authority   cluster.local. 30 IN SOA ...
//
// The question is a name, a type and perhaps a class, then options in dig's manner:
//
//	+tcp +udp          over this transport alone; else over both, but for an answer with tc, which is asked for over UDP
//	+noedns            without OPT; else it has one of version 0 that offers 1232 octets
//	+bufsize=N +do +co what the OPT offers and asks for
//	+edns=N            another version
//	+ednsopt=CODE:HEX  an option in the OPT
//	+optdata=HEX       octets in the place of its options
//	+optname=NAME      an owner of the OPT other than the root
//	+opts=N            that many OPTs
//	+optanswer         the OPT stands in the answer section
//	+apart             a rewritten name is not put back: the answer has other names than the question
//	+norec +cd +ad     header bits; recursion is desired unless it says +norec
//	+opcode=N          another opcode
//	+qdcount=N         that many questions, all the same
//	+more=HEX          octets behind the message
//
// "packet HEX" in the place of name and type is a message as it stands.
//
// The first line of the answer is the rcode and the flags that are set: aa tc rd ra ad cd. "silence" says that there is no answer. Then
// come "error" with the code and text of an Extended DNS Error, "subnet" with its client subnet and the scope of that (RFC 7871), "bufsize" with the UDP size of the reply's OPT when it is not 1232, and
// the records, each behind its section. The order of the records of a section means nothing. In an SOA the serial reads SERIAL, in an SRV of whoami the client's port PORT; "..." stands
// for the times and the signature of an RRSIG and for the record data of the SOA of a zone of ours: ns.dns.ZONE hostmaster.ZONE SERIAL 7200 1800 86400 TTL;
// ns.dns of a reverse zone is that of cluster.local.
//
// What holds of every answer is not in the stories but in Question.Read: ID, question and opcode come back as they were, the OPT comes back
// when there was one, sizes keep to what was offered, aliases stand in order, and so on.
//
// With -update the tests of watch rewrite the records and those of resolver the answers. Commit such a diff only when you can explain
// every line of it from a specification: a story says what is right, not what happens.
package stories

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// Update is set by -update: expectations are to be rewritten.
var Update = flag.Bool("update", false, "rewrite what the stories of testdata/stories expect")

// Story is one file.
type Story struct {
	Questions []*Question

	path    string
	archive *txtar.Archive
	script  []line // of the answers section
}

// defaultCorefile is kubeadm's, without the endpoints and the directives that answer nothing.
const defaultCorefile = `.:53 {
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        manifests cluster
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }
    forward . {$UPSTREAM}
    cache 30
    loadbalance
}
`

// Run tells each story below folder that has what a layer needs as a subtest; which is nil for all.
func Run(t *testing.T, folder string, which func(*Story) bool, tell func(*testing.T, *Story)) {
	paths, err := filepath.Glob(filepath.Join(folder, "*", "*.txtar"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no stories below %s: %v", folder, err)
	}
	for _, path := range paths {
		name, _ := filepath.Rel(folder, path)
		s, err := read(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if which == nil || which(s) {
			t.Run(strings.TrimSuffix(filepath.ToSlash(name), ".txtar"), func(t *testing.T) { tell(t, s) })
		}
	}
}

// HalfRead reports whether the story is of a cluster of which some kinds have not been read. No cluster of manifests stays so, unless
// nothing of it can be read.
func (s *Story) HalfRead() bool {
	records, _ := s.Section("records")
	corefile, _ := s.Section("Corefile")
	return strings.Contains(records, unread) && !strings.Contains(corefile, "endpoint ")
}

// Unread reports whether a kind of objects of the cluster has not been read.
func (s *Story) Unread() bool {
	records, _ := s.Section("records")
	return strings.Contains(records, unread)
}

// unread begins the line in which zones.Snapshot.WriteText lists such kinds.
const unread = "; not read yet: "

func read(path string) (*Story, error) {
	a, err := txtar.ParseFile(path)
	if err != nil {
		return nil, err
	}
	s := &Story{path: path, archive: a}
	text, _ := s.Section("answers")
	s.script, s.Questions, err = parseScript(text)
	return s, err
}

// Section is the text of a section, and whether there is one.
func (s *Story) Section(name string) (string, bool) {
	for _, f := range s.archive.Files {
		if f.Name == name {
			return string(f.Data), true
		}
	}
	return "", false
}

// SetSection rewrites a section.
func (s *Story) SetSection(t testing.TB, name, text string) {
	t.Helper()
	i := slices.IndexFunc(s.archive.Files, func(f txtar.File) bool { return f.Name == name })
	if i < 0 {
		s.archive.Files = append(s.archive.Files, txtar.File{Name: name})
		i = len(s.archive.Files) - 1
	}
	s.archive.Files[i].Data = []byte(text)
	if err := os.WriteFile(s.path, txtar.Format(s.archive), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Lines is a section as lines, none for a section that is missing.
func (s *Story) Lines(name string) []string {
	text, _ := s.Section(name)
	return slices.Collect(strings.Lines(text))
}

// HasCluster reports whether the story has manifests.
func (s *Story) HasCluster() bool { return slices.ContainsFunc(s.archive.Files, isManifest) }

// Writes reports whether a manifest of the story has a text.
func (s *Story) Writes(text string) bool {
	return slices.ContainsFunc(s.archive.Files, func(f txtar.File) bool { return isManifest(f) && strings.Contains(string(f.Data), text) })
}

func isManifest(f txtar.File) bool { return filepath.Ext(f.Name) == ".yaml" }

// Lay writes the story's files to a folder of the test and gives the name of the Corefile, and its text with the address of the upstream.
func (s *Story) Lay(t testing.TB, upstream string) (name, text string) {
	t.Helper()
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "cluster"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range s.archive.Files {
		at := filepath.Join(folder, f.Name)
		switch {
		case isManifest(f):
			at = filepath.Join(folder, "cluster", f.Name)
		case slices.Contains(known, f.Name):
			continue
		}
		if err := os.WriteFile(at, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, ok := s.Section("Corefile")
	if !ok {
		text = defaultCorefile
	}
	text = strings.NewReplacer("{$UPSTREAM}", upstream, "{$FOLDER}", folder).Replace(text)
	return filepath.Join(folder, "Corefile"), text
}

// known are the sections that are not files of the server's.
var known = []string{"Corefile", "upstream", "records", "imports", "warnings", "answers"}
