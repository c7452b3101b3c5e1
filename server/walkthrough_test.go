package server

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clusterdns/clusterdns/testdata/stories"
)

// TestWalkthrough serves the manifests of each section of docs/walkthrough.md, and asks its questions.
func TestWalkthrough(t *testing.T) {
	const path = "../docs/walkthrough.md"
	text := document(t, path)
	sections := strings.SplitAfter(text, "\n## ")
	if len(sections) < 10 {
		t.Fatalf("%d sections", len(sections))
	}
	block := regexp.MustCompile("(?s)```(yaml|console)\n(.*?)```")
	for i, section := range sections {
		title, _, _ := strings.Cut(section, "\n")
		folder := t.TempDir()
		var r *running
		sections[i] = block.ReplaceAllStringFunc(section, func(found string) string {
			parts := block.FindStringSubmatch(found)
			if parts[1] == "yaml" {
				if err := os.WriteFile(filepath.Join(folder, "objects.yaml"), []byte(parts[2]), 0o600); err != nil {
					t.Fatal(err)
				}
				return found
			}
			if r == nil {
				r = launch(t, fmt.Sprintf(".:0 {\n bind 127.0.0.1\n kubernetes cluster.local in-addr.arpa ip6.arpa {\n  manifests %s\n }\n}\n", folder))
				if err := r.Synced(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			port := fmt.Sprint(r.listeners[anyPort].Address().Port())
			got, realDig := "```console\n", todaysDig(t)
			for _, line := range regexp.MustCompile(`(?m)^\$ (.*)$`).FindAllStringSubmatch(parts[2], -1) {
				said := runPipe(t, line[1], port, digest)
				got += "$ " + line[1] + "\n" + said
				if realDig == "" {
					continue
				}
				if diff := cmp.Diff(normal(said), normal(runPipe(t, line[1], port, runDig(realDig)))); diff != "" {
					t.Errorf("%s, %s (-here +%s):\n%s", title, line[1], realDig, diff)
				}
			}
			got += "```"
			if diff := cmp.Diff(normal(found), normal(got)); diff != "" && !*stories.Update {
				t.Errorf("%s (-there +here):\n%s", title, diff)
			}
			return got
		})
	}
	if *stories.Update {
		if err := os.WriteFile(path, []byte(strings.Join(sections, "")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
