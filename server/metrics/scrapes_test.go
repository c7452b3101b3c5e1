package metrics

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestScrapesShared: while one scrape is computed, those that come wait for one more, together, and it is put off.
func TestScrapesShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		computed, running := 0, 0
		s := newScrapes(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if running++; running > 1 {
				t.Error("two scrapes at a time")
			}
			time.Sleep(100 * time.Millisecond)
			computed, running = computed+1, running-1
			fmt.Fprintf(w, "result %d %s", computed, r.Header.Get("Accept-Encoding"))
		}))
		var mu sync.Mutex
		got := map[string]int{}
		ask := func(encoding string) {
			w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/metrics", nil)
			r.Header.Set("Accept-Encoding", encoding)
			began := time.Now()
			s.ServeHTTP(w, r)
			mu.Lock()
			defer mu.Unlock()
			got[fmt.Sprintf("%s after %v", w.Body, time.Since(began))]++
		}
		go ask("")
		time.Sleep(10 * time.Millisecond)
		for range 64 {
			go ask("")
		}
		synctest.Wait()
		time.Sleep(time.Minute)
		synctest.Wait()
		ask("deflate, gzip")
		if len(got) != 3 || got["result 1  after 100ms"] != 1 || got["result 2  after 490ms"] != 64 ||
			got["result 3 gzip after 100ms"] != 1 {
			t.Errorf("%v", got)
		}
		time.Sleep(time.Minute) // timers end with the bubble
	})
}

// TestScrapeForms: a client gets text, text in gzip, or Prometheus's binary format.
func TestScrapeForms(t *testing.T) {
	handler := New("1", "2").Handler()
	for accept, want := range map[string]string{
		"": "text/plain", "*/*": "text/plain", "text/plain;version=0.0.4": "text/plain",
		"application/openmetrics-text;version=1.0.0,text/plain": "text/plain",
		protobuf + ",text/plain;q=0.5":                          "application/vnd.google.protobuf",
	} {
		for _, encoding := range []string{"", "gzip"} {
			w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/metrics", nil)
			r.Header.Set("Accept", accept)
			r.Header.Set("Accept-Encoding", encoding)
			handler.ServeHTTP(w, r)
			body := io.Reader(w.Body)
			if encoding != "" {
				var err error
				if body, err = gzip.NewReader(body); err != nil {
					t.Fatal(err)
				}
			}
			text, err := io.ReadAll(body)
			if err != nil || w.Code != 200 || !strings.Contains(string(text), "coredns_build_info") ||
				!strings.HasPrefix(w.Header().Get("Content-Type"), want) || w.Header().Get("Content-Encoding") != encoding {
				t.Errorf("%q, %q: %d %v %v, %.100q", accept, encoding, w.Code, w.Header(), err, text)
			}
		}
	}
}

// TestScrapeThatPanics: the one who waits with it gets an error, and the next one a new scrape.
func TestScrapeThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := true
		s := newScrapes(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			time.Sleep(time.Second)
			if broken {
				panic("scripted")
			}
		}))
		s.computing <- struct{}{} // a scrape rests
		var codes [3]int
		ask := func(i int) {
			defer func() { recover() }() // as net/http does
			w := httptest.NewRecorder()
			s.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
			codes[i] = w.Code
		}
		go ask(0)
		synctest.Wait()
		go ask(1)
		synctest.Wait()
		<-s.computing
		time.Sleep(time.Minute)
		synctest.Wait()
		broken = false
		ask(2)
		if want := [3]int{0, 500, 200}; codes != want {
			t.Errorf("%v, want %v", codes, want)
		}
		time.Sleep(time.Minute) // timers end with the bubble
	})
}
