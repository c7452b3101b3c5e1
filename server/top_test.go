package server

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// TestTopAndTail runs both commands against a program: top prints one picture where it writes to no terminal, and tail
// prints queries until the program has no dashboard any more.
func TestTopAndTail(t *testing.T) {
	corefile := fmt.Sprintf(".:0 {\n bind 127.0.0.1\n dashboard %s\n kubernetes cluster.local {\n  manifests town\n }\n}\n", adminAddress)
	r := launch(t, corefile)
	if err := r.Synced(t.Context()); err != nil {
		t.Fatal(err)
	}
	at := r.admin.Addresses()[adminAddress].String()
	out, mistakes, ended := &lockedBuffer{}, &lockedBuffer{}, make(chan int)
	go func() {
		ended <- Main([]string{"clusterdns", "tail", "-server", at, "-name", "prod.svc.cluster.local", "-client", "127.0.0.0/8",
			"-rcode", "nxdomain"}, nil, out, mistakes)
	}()
	line := regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d 127\.0\.0\.1 A gone\.prod\.svc\.cluster\.local\. NXDOMAIN \S+ µs kubernetes service prod/gone: not found$`)
	until(t, func() bool {
		r.answer(t, web)
		r.answer(t, "gone.prod.svc.cluster.local.")
		return line.MatchString(out.String())
	})
	if text := out.String(); strings.Contains(text, web) {
		t.Errorf("the filter lets through\n%s", text)
	}
	var picture bytes.Buffer
	until(t, func() bool {
		picture.Reset()
		if status := Main([]string{"clusterdns", "top", "-server", "http://" + at + "/"}, nil, &picture, mistakes); status != 0 {
			t.Fatal(mistakes.String())
		}
		return strings.Contains(picture.String(), web)
	})
	for _, want := range []string{"clusterdns dev  ready", "127.0.0.1\n", "NXDOMAIN gone.prod.svc.cluster.local. A  service prod/gone: not found"} {
		if !strings.Contains(picture.String(), want) {
			t.Errorf("top has no %q:\n%s", want, &picture)
		}
	}
	r.reload(t, strings.Replace(corefile, "dashboard "+adminAddress, "whoami", 1), reloaded)
	if status := <-ended; status != 1 || !strings.Contains(mistakes.String(), "the server has ended the connection") {
		t.Errorf("tail ended with %d: %s", status, mistakes)
	}
	for _, bad := range [][]string{{"top", "-every", "1ms"}, {"tail", "-o", "yaml"}, {"top", "name"}, {"tail", "-x"}} {
		if status := Main(append([]string{"clusterdns"}, bad...), nil, &picture, mistakes); status != 1 {
			t.Errorf("%q: status %d", bad, status)
		}
	}
}
