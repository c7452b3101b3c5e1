package skydns

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Requests to etcd's JSON gateway (etcd's documentation, "gRPC gateway"): octets are in base64, and integers of 64 bits
// are strings.

const (
	unaryTimeout = 5 * time.Second // for all requests but a watch, as in CoreDNS
	pageKeys     = 500             // of one reply of a list
	pageOctets   = 64 << 20        // more than a page of keys that fit
)

// client asks one endpoint at a time.
type client struct {
	options *Options
	http    *http.Client
	at      int // index of the endpoint
	token   string
}

func newClient(o *Options, config *tls.Config) *client {
	dialer := &net.Dialer{Timeout: unaryTimeout, KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 15 * time.Second, Interval: 10 * time.Second, Count: 3}}
	return &client{options: o, http: &http.Client{Transport: &http.Transport{
		DialContext: dialer.DialContext, TLSClientConfig: config, ForceAttemptHTTP2: true, MaxIdleConns: 2,
		IdleConnTimeout: time.Minute}}}
}

type (
	header struct {
		Revision int64 `json:"revision,string"`
	}
	keyData struct {
		Key   []byte `json:"key"`
		Value []byte `json:"value"`
		Lease int64  `json:"lease,string"`
	}
	listed struct {
		Header header    `json:"header"`
		KVs    []keyData `json:"kvs"`
		More   bool      `json:"more"`
	}
	event struct {
		Type string  `json:"type"` // "" or PUT, or DELETE
		KV   keyData `json:"kv"`
	}
	watched struct {
		Result struct {
			Header   header  `json:"header"`
			Events   []event `json:"events"`
			Canceled bool    `json:"canceled"`
			Reason   string  `json:"cancel_reason"`
		} `json:"result"`
		Error *failure `json:"error"`
	}
	failure struct {
		Message string `json:"message"`
	}
)

// post sends a request and returns the body of the reply.
func (c *client) post(ctx context.Context, path string, request any) (io.ReadCloser, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	url := c.options.Endpoints[c.at] + path
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	if c.token != "" {
		r.Header.Set("Authorization", c.token)
	}
	reply, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	if reply.StatusCode != http.StatusOK {
		var f failure
		text, _ := io.ReadAll(io.LimitReader(reply.Body, 4096))
		reply.Body.Close()
		if json.Unmarshal(text, &f) != nil || f.Message == "" {
			f.Message = "no gateway of etcd answers there"
		}
		return nil, fmt.Errorf("%s: %s, %s", url, reply.Status, f.Message)
	}
	return reply.Body, nil
}

// ask sends a request that has one reply.
func (c *client) ask(ctx context.Context, path string, request, reply any) error {
	ctx, cancel := context.WithTimeout(ctx, unaryTimeout)
	defer cancel()
	body, err := c.post(ctx, path, request)
	if err != nil {
		return err
	}
	defer body.Close()
	return json.NewDecoder(io.LimitReader(body, pageOctets)).Decode(reply)
}

// authenticate gets a token, if the options have credentials.
func (c *client) authenticate(ctx context.Context) error {
	if c.token = ""; c.options.Username == "" {
		return nil
	}
	var reply struct{ Token string }
	err := c.ask(ctx, "/v3/auth/authenticate",
		map[string]string{"name": c.options.Username, "password": c.options.Password}, &reply)
	c.token = reply.Token
	return err
}

// list calls take with each key of the prefix, all of one revision, which it returns.
func (c *client) list(ctx context.Context, take func(*keyData) error) (revision int64, err error) {
	first, end := []byte(c.options.prefix()), after(c.options.prefix())
	for {
		request := map[string]any{"key": first, "range_end": end, "limit": pageKeys}
		if revision > 0 {
			request["revision"] = strconv.FormatInt(revision, 10)
		}
		var page listed
		if err := c.ask(ctx, "/v3/kv/range", request, &page); err != nil {
			return 0, err
		}
		if revision == 0 {
			revision = page.Header.Revision
		}
		for i := range page.KVs {
			if err := take(&page.KVs[i]); err != nil {
				return 0, err
			}
		}
		if !page.More || len(page.KVs) == 0 {
			return revision, nil
		}
		first = append(bytes.Clone(page.KVs[len(page.KVs)-1].Key), 0)
	}
}

// after is the end of the range of all keys with a prefix, which does not end with the octet 255.
func after(prefix string) []byte {
	end := []byte(prefix)
	end[len(end)-1]++
	return end
}

// watch sends the events of the prefix from a revision on until something fails.
func (c *client) watch(ctx context.Context, revision int64, events chan<- []event) error {
	body, err := c.post(ctx, "/v3/watch", map[string]any{"create_request": map[string]any{
		"key": []byte(c.options.prefix()), "range_end": after(c.options.prefix()), "start_revision": strconv.FormatInt(revision, 10),
		"progress_notify": true}})
	if err != nil {
		return err
	}
	defer body.Close()
	stream := json.NewDecoder(body)
	for {
		var w watched
		switch err := stream.Decode(&w); {
		case err != nil:
			return fmt.Errorf("the watch ended: %w", err)
		case w.Error != nil:
			return errors.New(w.Error.Message)
		case w.Result.Canceled: // the revision has been compacted, for example
			return fmt.Errorf("the watch was cancelled: %s", w.Result.Reason)
		}
		select {
		case events <- w.Result.Events:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// granted is how many seconds a lease was granted for.
func (c *client) granted(ctx context.Context, lease int64) (seconds int64, err error) {
	var reply struct {
		Granted int64 `json:"grantedTTL,string"`
	}
	err = c.ask(ctx, "/v3/lease/timetolive", map[string]string{"ID": strconv.FormatInt(lease, 10)}, &reply)
	return reply.Granted, err
}

// prefix is what all keys begin with.
func (o *Options) prefix() string { return "/" + strings.Trim(o.Path, "/") + "/" }
