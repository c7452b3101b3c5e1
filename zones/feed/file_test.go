package feed

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// zoneText is a zone file with a serial and an address.
func zoneText(serial int, address string) string {
	return fmt.Sprintf("@ 60 IN SOA ns host %d 2 1 5 60\n@ 60 IN NS ns\nns 60 IN A %s\n", serial, address)
}

// replace writes a file as editors and ConfigMaps do: a new one takes the name.
func replace(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name+".new", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// TestFileFollows: what becomes of the zone as its file changes, and what the log says. Each reason is logged once.
func TestFileFollows(t *testing.T) {
	name := filepath.Join(t.TempDir(), "db")
	var log bytes.Buffer
	file, err := NewFile(FileOptions{Name: name, Zone: "example.org."}, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	inPlace := func(text string) {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	whole := zoneText(9, "192.0.2.9")
	for _, step := range []struct {
		what   string
		do     func()
		serial uint32 // 0 for no zone
		log    string // in the one line that is new; "" for none
		fails  bool
	}{
		{"missing at the start", func() {}, 0, "no such file", true},
		{"appears", func() { replace(t, name, zoneText(5, "192.0.2.1")) }, 5, "", false},
		{"broken", func() { replace(t, name, zoneText(6, "192.0.2")) }, 5, name + `:3: bad A A: \"192.0.2\"`, true},
		{"still broken", func() {}, 5, "", true},
		{"broken otherwise", func() { replace(t, name, "@ 60 IN SOA ns host 7 2 1 5 60\n@ 60 IN\n") }, 5, name + ":2", true},
		{"emptied", func() { inPlace("") }, 5, "0 SOA records", true},
		{"half-written", func() { inPlace(whole[:len(whole)-20]) }, 5, name + ":3", true},
		{"written to its end", func() { inPlace(whole) }, 9, "", false},
		{"taken away", func() { os.Rename(name, name+".away") }, 9, "no such file", true},
		{"brought back", func() { os.Rename(name+".away", name) }, 9, "", false},
		{"another with the same content", func() { replace(t, name, whole) }, 9, "", false},
		{"changed, but not its serial", func() { replace(t, name, zoneText(9, "192.0.2.10")) }, 9, "not the serial", true},
		{"a lower serial", func() { replace(t, name, zoneText(3, "192.0.2.10")) }, 3, "", false},
		{"a folder", func() { os.Rename(name, name+".away"); os.Mkdir(name, 0o755) }, 3, "not a regular file", true},
		{"a link", func() { os.Remove(name); os.Symlink(name+".away", name) }, 3, "", false},
		{"a link to another file", func() {
			replace(t, name+".other", zoneText(4, "192.0.2.11"))
			os.Remove(name)
			os.Symlink(name+".other", name)
		}, 4, "", false},
	} {
		log.Reset()
		before := file.Counts().Failures
		step.do()
		file.Load()
		file.Load()
		c := file.Counts()
		if c.Serial != step.serial || c.Served != (step.serial > 0) {
			t.Errorf("%s: serial %d, want %d", step.what, c.Serial, step.serial)
		}
		if failed := c.Failures - before; step.fails && failed != 2 || !step.fails && failed != 0 {
			t.Errorf("%s: %d failures", step.what, failed)
		}
		if lines := strings.Count(log.String(), "\n"); step.log == "" && lines > 0 ||
			step.log != "" && (lines != 1 || !strings.Contains(log.String(), step.log)) {
			t.Errorf("%s: log:\n%s", step.what, log.String())
		}
	}
}

// TestFileByTime: with ByTime a file is taken when it has changed, whatever its serial.
func TestFileByTime(t *testing.T) {
	name := filepath.Join(t.TempDir(), "db")
	replace(t, name, zoneText(5, "192.0.2.1"))
	file, err := NewFile(FileOptions{Name: name, Zone: "example.org.", ByTime: true}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	before, changed := file.Zone(), file.Changed()
	replace(t, name, zoneText(5, "192.0.2.2"))
	file.Load()
	<-changed
	if file.Zone() == before {
		t.Error("not taken")
	}
}

// TestFileIsBrokenAtStart: a file that is there and broken stops the start.
func TestFileIsBrokenAtStart(t *testing.T) {
	name := filepath.Join(t.TempDir(), "db")
	replace(t, name, zoneText(5, "300.0.2.1"))
	if _, err := NewFile(FileOptions{Name: name, Zone: "example.org."}, slog.New(slog.DiscardHandler)); err == nil ||
		!strings.HasPrefix(err.Error(), name+":3: ") {
		t.Errorf("got %v", err)
	}
}

// TestFileIsLookedAt: at each interval, and never with 0.
func TestFileIsLookedAt(t *testing.T) {
	for _, interval := range []time.Duration{0, time.Minute} {
		name := filepath.Join(t.TempDir(), "db")
		replace(t, name, zoneText(5, "192.0.2.1"))
		synctest.Test(t, func(t *testing.T) {
			file, err := NewFile(FileOptions{Name: name, Zone: "example.org.", Reload: interval}, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go file.Run(ctx)
			replace(t, name, zoneText(6, "192.0.2.1"))
			time.Sleep(59 * time.Second)
			synctest.Wait()
			if file.Zone().Serial() != 5 {
				t.Errorf("interval %v: read too early", interval)
			}
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if read := file.Zone().Serial() == 6; read != (interval > 0) {
				t.Errorf("interval %v: read=%v", interval, read)
			}
		})
	}
}
