package libc

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// searchList is that of a pod of namespace dev, as the kubelet writes it.
const searchList = "dev.svc.cluster.local svc.cluster.local cluster.local corp.example"

// arrangements are the servers of the Corefile, by the words before their lines of the query log, with how many questions
// each libc asks for a name of two dots outside of the cluster: of the first server, and what comes of them at the one
// behind it, which is the server of the cluster. Asked again, a cache has it all.
var arrangements = []struct {
	title, address, tag, behind  string
	asked, passed, again, repeat int
}{
	{title: "without `search`", address: "127.0.0.2", tag: "without", asked: 10, again: 10},
	{title: "with `search`", address: "127.0.0.3", tag: "with", asked: 2, again: 2},
	{title: "with `search`, behind a cache on the node", address: "127.0.0.4", tag: "cache", behind: "with", asked: 10, passed: 10, again: 10},
	{title: "the same, and the cache has `kubernetes` and `search` too", address: "127.0.0.5", tag: "node", behind: "with", asked: 2, passed: 4, again: 2},
}

// countAll holds the table in docs/performance.md to what the libcs ask.
func countAll(t *testing.T, a *asking) {
	page, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, arrangement := range arrangements {
		row := "| " + arrangement.title
		for i, libc := range []string{"glibc", "musl", "go"} {
			name := fmt.Sprintf("www%d.example.com", i) // that the caches do not have
			conf := fmt.Sprintf("nameserver %s\nsearch %s\noptions ndots:5 timeout:%d attempts:1\n", arrangement.address, searchList, patience[1])
			if err := os.WriteFile(filepath.Join(a.folder, "resolv.conf"), []byte(conf), 0o644); err != nil {
				t.Fatal(err)
			}
			tags := strings.Fields(arrangement.tag + " " + arrangement.behind)
			for time, want := range [][2]int{{arrangement.asked, arrangement.passed}, {arrangement.again, arrangement.repeat}} {
				if said := run(t, filepath.Join(a.folder, libc), name); said != "found\n" {
					t.Errorf("%s, %s: %s", arrangement.title, libc, said)
				}
				got := a.count(t, arrangement.address, tags)
				if got[arrangement.tag] != want[0] || got[arrangement.behind] != want[1] {
					t.Errorf("%s, %s, time %d: %v, want %v\n%s", arrangement.title, libc, time+1, got, want, a.last)
				}
			}
			row += fmt.Sprintf(" | %d", arrangement.asked)
		}
		row += " | "
		if arrangement.behind != "" {
			row += fmt.Sprint(arrangement.passed)
		}
		if row = strings.TrimRight(row, " ") + " |"; !strings.Contains(string(page), row) {
			t.Errorf("docs/performance.md lacks the row\n%s", row)
		}
	}
}

// count is how many questions servers have had since the last call, by the words before their lines.
func (a *asking) count(t *testing.T, address string, tags []string) map[string]int {
	t.Helper()
	a.number++
	end := fmt.Sprintf("end-%d.test.", a.number)
	ask := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address+":53")
	}}
	missing := func() bool {
		for _, tag := range tags {
			if !strings.Contains(a.log.String(), tag+" A "+end) {
				return true
			}
		}
		return false
	}
	ask.LookupHost(t.Context(), end)
	for began := time.Now(); missing(); time.Sleep(time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("%s is not in the query log:\n%s", end, &a.log)
		}
	}
	a.log.mu.Lock()
	defer a.log.mu.Unlock()
	counts := map[string]int{}
	a.last = a.log.text.String()
	for line := range strings.Lines(a.last) {
		words := strings.Fields(line)
		if len(words) == 4 && words[0] == "[INFO]" && !strings.HasPrefix(words[3], "end-") {
			counts[words[1]]++
		}
	}
	a.log.text.Reset()
	return counts
}
