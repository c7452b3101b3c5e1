//go:build linux

package main

import (
	"strings"
	"testing"
)

// printed is what dnsperf 2.10.0 prints at the end.
const printed = `[Status] Testing complete (time limit)

Statistics:

  Queries sent:         2003
  Queries completed:    1998 (99.75%)
  Queries lost:         5 (0.25%)

  Response codes:       NOERROR 1900 (95.10%), SERVFAIL 90 (4.50%), REFUSED 8 (0.40%)
  Average packet size:  request 49, response 65
  Run time (s):         1.001504
  Queries per second:   1995.000000

  Average Latency (s):  0.000114 (min 0.000035, max 0.004154)
  Latency StdDev (s):   0.000187
`

func TestParseDnsperf(t *testing.T) {
	got, err := parseDnsperf(printed)
	if want := (load{completed: 1998, lost: 5, failed: 98, rate: 1995}); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}

func TestParseDnsperfElse(t *testing.T) {
	for _, text := range []string{"", "Warning: all queries lost", strings.ReplaceAll(printed, "Queries lost", "Queries gone")} {
		if got, err := parseDnsperf(text); err == nil {
			t.Errorf("%q is read as %+v", text, got)
		}
	}
}

func TestParseTrace(t *testing.T) {
	const text = `% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 62.50    0.000010           1        10           recvmmsg
 37.50    0.000006           1         5         2 futex
------ ----------- ----------- --------- --------- ----------------
100.00    0.000016           1        15         2 total
`
	if calls, err := parseTrace(text); err != nil || calls != 15 {
		t.Errorf("%d calls, %v", calls, err)
	}
	if _, err := parseTrace("strace: attach failed\n"); err == nil {
		t.Error("no mistake is seen")
	}
}

func TestParseQuestions(t *testing.T) {
	list, err := parseQuestions("a.example.net A\nb.example.net. SRV\n")
	if err != nil || len(list) != 2 || list[0].name != "a.example.net." || list[1].qtype != 33 {
		t.Errorf("%v, %v", list, err)
	}
	for _, text := range []string{"", "\n", "a.example.net\n", "a.example.net NONE\n"} {
		if _, err := parseQuestions(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
