package page

import (
	"embed"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/clusterdns/clusterdns/observe/traffic"
)

// Options is what the page tells. The functions are called for each request.
type Options struct {
	Traffic  *traffic.Traffic
	State    func() State
	Clusters func() []Cluster
	Corefile func() []File
	Hosts    func() []string // names of this server that a browser may ask for
	Source   func(uint8) string
	Who      func(netip.Addr) string // whose address it is; "" for unknown
	Explain  http.Handler            // of /explain; nil for none
}

// page has what the browser gets. Nothing of it names another server.
//
//go:embed index.html page.css page.js icon.svg
var files embed.FS

// assets are the paths of files, and their media types.
var assets = map[string]struct{ file, media string }{
	"/{$}":      {"index.html", "text/html; charset=utf-8"},
	"/page.css": {"page.css", "text/css; charset=utf-8"},
	"/page.js":  {"page.js", "text/javascript; charset=utf-8"},
	"/icon.svg": {"icon.svg", "image/svg+xml"},
}

// policy lets the page load what this server has, and nothing else, and nobody frame it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// New makes the handler of the page, for all paths of its address.
func New(options Options) http.Handler {
	p := &page{options}
	mux := http.NewServeMux()
	for path, asset := range assets {
		content, err := files.ReadFile(asset.file)
		if err != nil {
			panic(err) // it is embedded
		}
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", asset.media)
			w.Write(content)
		})
	}
	few := atMost(mostSearches)
	for path, answer := range map[string]func(*http.Request) (any, error){
		"summary": p.summary, "top": p.top, "failures": p.failures, "services": p.services, "service": p.service,
		"corefile": p.corefile,
	} {
		var handler http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { respond(w, r, answer) })
		if path == "services" {
			handler = few(handler)
		}
		mux.Handle("GET /api/"+path, handler)
	}
	mux.HandleFunc("GET /api/tail", p.tail)
	if options.Explain != nil {
		mux.Handle("GET /explain", few(options.Explain))
	}
	return p.guard(mux)
}

// mostSearches is how many requests may go through all services at a time.
const mostSearches = 2

// atMost lets n requests at a time through to all that it wraps, and answers the others with 503 and a sentence.
func atMost(n int) func(http.Handler) http.Handler {
	places := make(chan struct{}, n)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case places <- struct{}{}:
				defer func() { <-places }()
				next.ServeHTTP(w, r)
			default:
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusServiceUnavailable)
				fmt.Fprintf(w, `{"error":"%d searches are under way, which is the most; ask again in a moment"}`+"\n", n)
			}
		})
	}
}

type page struct{ Options }

// guard checks the Host, and sets what all answers have.
func (p *page) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		if !p.allows(r.Host) {
			http.Error(w, fmt.Sprintf("This page is not served under the name %q. The option host of the directive dashboard "+
				"allows it.", r.Host), http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// allows reports whether a browser may ask for host. An address is nobody's to point elsewhere.
func (p *page) allows(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return host == "localhost" || host != "" && slices.Contains(p.Hosts(), host)
}
