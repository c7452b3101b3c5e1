package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// readOnly is the server with a folder that is a read-only file system of its own.
func readOnly(t *testing.T, folder string) func() (string, error) {
	t.Helper()
	script := filepath.Join(t.TempDir(), "clusterdns")
	text := fmt.Sprintf("#!/bin/sh\nexec unshare -rm sh -c 'mount -t tmpfs -o ro none %s && exec \"$@\"' sh %s \"$@\"\n",
		folder, built(t, clusterdns))
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return func() (string, error) { return script, nil }
}

// TestReadOnlyFileSystem has the snapshot at a place that cannot be written to, as where readOnlyRootFilesystem is set and
// no volume is mounted: the log says what to do, a metric counts, and names are answered and follow the cluster.
func TestReadOnlyFileSystem(t *testing.T) {
	c := startCluster(t)
	createService(t, c, clusterIP("web", "10.96.1.1"))
	folder := t.TempDir()
	s := startPeer(t, readOnly(t, folder), c.kubeconfig(""), snapshotCorefile(filepath.Join(folder, "snapshot")))
	s.awaitServing(t, 30*time.Second)
	want := "the snapshot cannot be written, and the one before stays: " + filepath.Join(folder, "snapshot") +
		": read-only file system: mount an emptyDir or a hostPath there"
	await(t, patience, "the line that it cannot be written", func() bool { return strings.Contains(s.said(), want) })
	if n := s.metric(t, "clusterdns_kubernetes_snapshot_write_failures_total"); n != 1 {
		t.Errorf("%v failures are counted", n)
	}
	s.answers(t, "web.default.svc.cluster.local. A", "@ A 10.96.1.1")
	createService(t, c, clusterIP("later", "10.96.1.2"))
	s.answers(t, "later.default.svc.cluster.local. A", "@ A 10.96.1.2")
	s.readyAs(t, "OK")
	if n := strings.Count(s.said(), "[ERROR]"); n != 1 {
		t.Errorf("%d errors are logged", n)
	}
}
