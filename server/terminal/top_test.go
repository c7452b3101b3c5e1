package terminal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/server/page"
)

func TestShare(t *testing.T) {
	for _, c := range []struct {
		lines int
		needs []int
		want  []int
	}{
		{0, []int{3, 3}, []int{0, 0}},
		{5, []int{3, 3}, []int{3, 2}},
		{10, []int{2, 20, 4}, []int{2, 4, 4}},
		{100, []int{2, 20, 4}, []int{2, 20, 4}},
		{-3, []int{1}, []int{0}},
	} {
		if got := share(c.lines, c.needs); !slices.Equal(got, c.want) {
			t.Errorf("%d lines for %v: %v", c.lines, c.needs, got)
		}
	}
}

// full is a state whose tables have many long rows, with what a terminal would obey.
func full() *state {
	s := &state{}
	for i := range s.tables {
		for k := range 40 {
			s.tables[i].Rows = append(s.tables[i].Rows, page.Row{Name: fmt.Sprint(k, "-\x1b[2J", strings.Repeat("é", 300)),
				Count: 1e6, Rate: 12345, Reason: "why\n"})
		}
	}
	for range 40 {
		s.failures = append(s.failures, page.Failure{Name: "x\r", Rcode: "SERVFAIL", Reason: "\x07"})
	}
	return s
}

// TestPicture: whatever the size of the terminal, a picture fits, and has nothing in it that a terminal obeys.
func TestPicture(t *testing.T) {
	for _, columns := range []int{0, 1, 20, 80, 119, 120, 300} {
		for _, rows := range []int{1, 2, 5, 24, 60, 500} {
			lines := new(Top).picture(full(), errors.New("a\x1bb"), columns, rows)
			if len(lines) > rows {
				t.Errorf("%d lines in %d", len(lines), rows)
			}
			for _, line := range lines {
				if n := utf8.RuneCountInString(line); n > columns {
					t.Errorf("a line of %d columns in %d: %q", n, columns, line)
				}
				if observe.Clean(line) != line {
					t.Errorf("%q", line)
				}
			}
		}
	}
}

// TestForeignServer: what answers and is not the page of clusterdns is told apart from one that does not answer.
func TestForeignServer(t *testing.T) {
	for says, answer := range map[string]http.HandlerFunc{
		"the Corefile needs the directive dashboard": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"is not the page of clusterdns":              func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) },
		"404 Not Found: nothing":                     func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "nothing", 404) },
		"400 Bad Request: a?[31m sentence": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(400)
			json.NewEncoder(w).Encode(map[string]string{"error": "a\x1b[31m sentence"})
		},
	} {
		server := httptest.NewServer(answer)
		defer server.Close()
		top, tail := &Top{Server: server.URL, Size: func() (int, int) { return 80, 24 }}, &Tail{Server: server.URL + "/"}
		for _, err := range []error{top.Run(t.Context(), t.Output()), tail.Run(t.Context(), t.Output())} {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%v, want %s", err, says)
			}
		}
	}
	for _, bad := range []string{"http://", "::", "http://%zz"} {
		if err := (&Tail{Server: bad}).Run(t.Context(), t.Output()); err == nil || !strings.HasPrefix(err.Error(), "-server: ") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	away := httptest.NewServer(nil)
	away.Close()
	if err := (&Tail{Server: away.URL}).Run(t.Context(), t.Output()); err == nil || !strings.HasPrefix(err.Error(), "nothing listens at") {
		t.Error(err)
	}
}

// TestEnds: a command that is interrupted ends without an error, whatever the server does.
func TestEnds(t *testing.T) {
	came := make(chan struct{})
	tell := func(r *http.Request) {
		select {
		case came <- struct{}{}:
		case <-r.Context().Done():
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "tail") {
			w.(http.Flusher).Flush()
			tell(r)
			<-r.Context().Done()
		} else if w.Write([]byte("{}")); strings.HasSuffix(r.URL.Path, "failures") {
			tell(r)
		}
	}))
	defer server.Close()
	top := &Top{Server: server.URL, Every: time.Millisecond, Size: func() (int, int) { return 80, 24 }}
	for name, run := range map[string]func(context.Context) error{
		"top":  func(ctx context.Context) error { return top.Run(ctx, t.Output()) },
		"tail": func(ctx context.Context) error { return (&Tail{Server: server.URL}).Run(ctx, t.Output()) },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- run(ctx) }()
		<-came
		cancel()
		for ended := false; !ended; {
			select {
			case <-came:
			case err := <-done:
				if ended = true; err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
}
