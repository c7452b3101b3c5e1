package terminal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/clusterdns/clusterdns/observe"
)

// DefaultServer is where the directive dashboard listens unless it says otherwise.
const DefaultServer = "127.0.0.1:1054"

// client asks the page of a server.
type client struct{ base string }

// timeout is how long an answer may take, and the beginning of one that has no end.
const timeout = 5 * time.Second

// newClient takes HOST:PORT, or a URL.
func newClient(server string) (*client, error) {
	if !strings.Contains(server, "://") {
		server = "http://" + server
	}
	u, err := url.Parse(server)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("-server: got %q, wants an address such as %s, or a URL", server, DefaultServer)
	}
	return &client{strings.TrimSuffix(u.String(), "/")}, nil
}

// open asks for a path.
func (c *client) open(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	ask := &http.Client{Transport: &http.Transport{ResponseHeaderTimeout: timeout, DisableKeepAlives: true}}
	reply, err := ask.Do(request)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("nothing listens at %s: the Corefile needs the directive dashboard, and -server says where it is; "+
			"in a cluster first: kubectl -n kube-system port-forward deployment/clusterdns 1054", c.base)
	case errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET): // of a port-forward to a port where nothing listens
		return nil, fmt.Errorf("%s ends the connection without an answer: behind a port-forward nothing listens there; "+
			"the Corefile needs the directive dashboard, or dashboard :PORT for another port", c.base)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", c.base, err)
	case reply.StatusCode == http.StatusOK:
		return reply.Body, nil
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(io.LimitReader(reply.Body, 4<<10))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.base, err)
	}
	var mistake struct{ Error string }
	if json.Unmarshal(text, &mistake) != nil {
		mistake.Error = strings.TrimSpace(string(text))
	}
	return nil, fmt.Errorf("%s: %s: %s", c.base, reply.Status, observe.Clean(mistake.Error))
}

// largest is more than any answer with an end has.
const largest = 4 << 20

// Get reads the JSON of a path of the page at server, HOST:PORT or a URL.
func Get(ctx context.Context, server, path string, query url.Values, to any) error {
	c, err := newClient(server)
	if err != nil {
		return err
	}
	return c.get(ctx, path, query, to)
}

// get reads the JSON of a path.
func (c *client) get(ctx context.Context, path string, query url.Values, to any) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	body, err := c.open(ctx, path, query)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(io.LimitReader(body, largest)).Decode(to); err != nil {
		return fmt.Errorf("%s is not the page of clusterdns: %w", c.base, err)
	}
	return nil
}
