package server

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/resolver/stream"
	"github.com/clusterdns/clusterdns/server/admin"
	"github.com/clusterdns/clusterdns/server/config"
	"github.com/clusterdns/clusterdns/server/listen"
)

// TestReadmeBounds holds the table of bounds to the default of the cache. The rooms hold it to theirs.
func TestReadmeBounds(t *testing.T) {
	t.Chdir("..")
	text := document(t, "docs/operations.md")
	row := fmt.Sprintf("| cache, each half | `success` and `denial`, %d entries each, and 1 KiB for each entry",
		standardCache(t))
	if !strings.Contains(text, row) {
		t.Errorf("docs/operations.md has no %q", row)
	}
}

// What one of each costs, in KiB, as measured: heap and stacks.
const (
	pendingCost  = 1
	askedCost    = 3
	sharedCost   = 100
	streamCost   = 106
	transferCost = 122
)

// TestReadmeBoundsFull holds what all bounds cost when they are reached at once to the page, and to the memory of the
// deployment.
func TestReadmeBoundsFull(t *testing.T) {
	t.Chdir("..")
	o := listen.Defaults()
	const readers, endpoints = 2, 3 // health, ready, prometheus
	const kernelSocket, kernelStream = 3, 40
	table := "| All at once | Number | KiB each | MiB |\n|---|---|---|---|\n"
	goMemory, kernelMemory := 0, 0
	row := func(sum *int, what string, number, each int) {
		*sum += number * each
		table += fmt.Sprintf("| %s | %d | %d | %d |\n", what, number, each, (number*each+512)>>10)
	}
	row(&goMemory, "the program, without a cluster", 1, 5<<10)
	row(&goMemory, "entries of the cache", 2*standardCache(t), 1)
	row(&goMemory, "queries that wait for upstream", o.Pending, pendingCost)
	row(&goMemory, "questions that upstream is asked", resolver.MaxAsked, askedCost)
	row(&goMemory, "connections to an upstream over TLS", stream.MostAll, sharedCost)
	row(&goMemory, "long replies that are coming from upstream", 1, resolver.MaxReplyOctets>>10)
	row(&goMemory, "TCP connections that are answered", o.Streams, streamCost)
	row(&goMemory, "zone transfers", listen.MaxTransfers, transferCost)
	row(&goMemory, "buffers of the query log", readers+1, 1536)
	row(&goMemory, "connections of admin endpoints", endpoints*admin.MaxConns, 16)
	row(&kernelMemory, "in the kernel: sockets to upstreams", resolver.MaxAsked, kernelSocket)
	row(&kernelMemory, "in the kernel: what TCP clients do not read, or have sent", o.Streams+listen.MaxTransfers,
		kernelStream)
	table += fmt.Sprintf("| sum | | | %d |\n", (goMemory+kernelMemory+512)>>10)
	_, rest, _ := strings.Cut(document(t, "docs/operations.md"), "<!-- bounds:begin -->\n")
	if printed, _, _ := strings.Cut(rest, "<!-- bounds:end -->"); printed != table {
		t.Errorf("docs/operations.md has\n%s\nand it is\n%s", printed, table)
	}
	limit := deployedMemory(t)
	if goMemory > limit*85/100 || goMemory+kernelMemory > limit {
		t.Errorf("%d KiB and %d KiB of the kernel's do not fit into the deployment's %d KiB", goMemory, kernelMemory, limit)
	}
}

// standardCache is the entries of each half of the cache where the Corefile does not say.
func standardCache(t *testing.T) int {
	t.Helper()
	c, err := config.Parse("Corefile", []byte(". {\n cache\n}\n"), config.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	return c.Listeners[0].Blocks[0].Steps.Cache.Success.Capacity
}

// deployedMemory is the memory limit of the deployment in KiB.
func deployedMemory(t *testing.T) int {
	t.Helper()
	manifest, err := os.ReadFile("deploy/base/deployment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`limits:.*\n\s+memory: (\d+)Mi\n`).FindSubmatch(manifest)
	if found == nil {
		t.Fatal("the deployment has no memory limit in Mi")
	}
	limit, _ := strconv.Atoi(string(found[1]))
	return limit << 10
}
