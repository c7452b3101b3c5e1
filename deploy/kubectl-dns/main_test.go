package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestRun: help, and mistakes in the arguments. testdata/apiserver/e2e runs explain on a real API server.
func TestRun(t *testing.T) {
	for arguments, want := range map[string]string{
		"":                    "Usage: kubectl dns explain NAME",
		"explain --help":      "--from",
		"tpo":                 "the commands are explain, top and tail",
		"explain --nothing":   "unknown flag: --nothing",
		"top --kubeconfig /x": "/x",
	} {
		var out bytes.Buffer
		status, err := run(t.Context(), strings.Fields(arguments), &out, &out)
		if err != nil {
			out.WriteString(err.Error())
		}
		if !strings.Contains(out.String(), want) || (status == 0) == (err != nil) {
			t.Errorf("kubectl dns %s: status %d, %v\n%s", arguments, status, err, &out)
		}
	}
}
