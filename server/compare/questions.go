package compare

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/miekg/dns"
)

// MostQuestions is how many different questions are read.
const MostQuestions = 1_000_000

// Questions are what both servers are asked, each once.
type Questions struct {
	List   []dns.Question
	Read   int // with those that are there already
	Passed int // lines that have none

	known map[dns.Question]bool
}

// Add adds a question that is not there yet. What cannot be asked, such as a name that ends in a backslash, is passed over.
func (q *Questions) Add(name string, qtype, class uint16) {
	one := dns.Question{Name: dns.Fqdn(name), Qtype: qtype, Qclass: class}
	if _, ok := dns.IsDomainName(one.Name); !ok || !dns.IsFqdn(one.Name) {
		q.Passed++
		return
	}
	q.Read++
	key := dns.Question{Name: strings.ToLower(one.Name), Qtype: qtype, Qclass: class}
	if q.known == nil {
		q.known = map[dns.Question]bool{}
	}
	if q.known[key] || len(q.List) == MostQuestions {
		return
	}
	q.known[key] = true
	q.List = append(q.List, one)
}

// eachLine calls take for each line, which reports whether it has a question.
func (q *Questions) eachLine(from io.Reader, take func(line string) bool) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line != "" && line[0] != '#' && line[0] != ';' && !take(line) {
			q.Passed++
		}
	}
	return lines.Err()
}

// ReadNames reads lines of NAME [TYPE], or those of a zone file with absolute names. Without a type it is A.
func (q *Questions) ReadNames(from io.Reader) error {
	return q.eachLine(from, func(line string) bool {
		words := strings.Fields(line)
		qtype := uint16(dns.TypeA)
		for _, word := range words[1:] {
			if t, known := typeOf(word); known {
				qtype = t
				break
			}
		}
		if _, is := dns.IsDomainName(words[0]); !is {
			return false
		}
		q.Add(words[0], qtype, dns.ClassINET)
		return true
	})
}

// typeOf reads the name of a type. ANY is a class as well, and stands alone.
func typeOf(word string) (uint16, bool) {
	word = strings.ToUpper(word)
	if t, known := dns.StringToType[word]; known {
		return t, true
	}
	var t uint16
	_, err := fmt.Sscanf(word, "TYPE%d", &t)
	return t, err == nil
}

// quoted is the question in a line of CoreDNS's formats common and combined, whatever stands before it: "A IN NAME udp …".
var quoted = regexp.MustCompile(`"([A-Za-z0-9-]+) ([A-Z0-9]+) (\S+) (?:udp|tcp) `)

// ReadLog reads the query log of CoreDNS or clusterdns, as the directive log writes it, or as JSON lines.
func (q *Questions) ReadLog(from io.Reader) error {
	return q.eachLine(from, func(line string) bool {
		found := quoted.FindStringSubmatch(line)
		if at := strings.IndexByte(line, '{'); found == nil && at >= 0 {
			found = fromJSON(line[at:])
		}
		if found == nil {
			return false
		}
		qtype, known := typeOf(found[1])
		class, ok := dns.StringToClass[found[2]]
		if _, is := dns.IsDomainName(found[3]); !is || !known || !ok || isTransfer(qtype) {
			return false
		}
		q.Add(found[3], qtype, class)
		return true
	})
}

// fromJSON is type, class and name of a line of JSON, behind an element; nil if it has none.
func fromJSON(line string) []string {
	var l struct{ Name, Type, Class string }
	if json.Unmarshal([]byte(line), &l) != nil || l.Name == "" || l.Type == "" {
		return nil
	}
	if l.Class == "" {
		l.Class = "IN"
	}
	return []string{line, l.Type, l.Class, l.Name}
}

// isTransfer reports a type that is no question about a name.
func isTransfer(t uint16) bool { return t == dns.TypeAXFR || t == dns.TypeIXFR }
