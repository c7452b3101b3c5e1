package server

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestUnchangedParts: what can be written, what is of another file, and what a debugger has changed stays.
func TestUnchangedParts(t *testing.T) {
	const smaps = `00400000-01322000 r-xp 00000000 fe:00 10027126                           /bin/clusterdns
Size:              15496 kB
Rss:               12336 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
01322000-0236c000 r--p 00f22000 fe:00 10027126                           /bin/clusterdns
Anonymous:             4 kB
0236c000-023ff000 rw-p 01f6c000 fe:00 10027126                           /bin/clusterdns
Anonymous:             0 kB
02400000-02500000 r--p 00f22000 fe:00 10027126                           /bin/clusterdns
Anonymous:             0 kB
7f0000000000-7f0000001000 r-xp 00000000 fe:00 1                          /lib/bin/clusterdns.so
Anonymous:             0 kB
7f0000002000-7f0000003000 r--p 00000000 00:00 0 
Anonymous:             0 kB
`
	want := []part{{0x400000, 0x1322000}, {0x2400000, 0x2500000}}
	if got := unchangedParts(strings.NewReader(smaps), "/bin/clusterdns"); !slices.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}

// TestForgetCode: the program goes on after its code was forgotten, and of its file there is less in memory.
func TestForgetCode(t *testing.T) {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	if parts := unchangedParts(strings.NewReader(string(smaps)), self); len(parts) == 0 {
		t.Fatalf("no part of %s is unchanged:\n%s", self, smaps)
	}
	forgetCode()
	if got := garbagePercent(0); got != ordinaryGarbagePercent {
		t.Errorf("%d percent", got)
	}
}
