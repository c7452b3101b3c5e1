package terminal

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/server/page"
)

// Tail is the command tail.
type Tail struct {
	Server  string // DefaultServer for ""
	Client  string // an address, a network, or a part of a pod's name; "" for all
	Name    string // a domain; "" for all
	Rcode   string // "" for all
	JSON    bool   // lines as the server sends them
	Colours bool
}

// longestLine bounds a line of the server.
const longestLine = 64 << 10

// Run prints queries as they come, until ctx ends.
func (t *Tail) Run(ctx context.Context, out io.Writer) error {
	c, err := newClient(t.Server)
	if err != nil {
		return err
	}
	query := url.Values{}
	for name, value := range map[string]string{"client": t.Client, "name": t.Name, "rcode": t.Rcode} {
		if value != "" {
			query.Set(name, value)
		}
	}
	body, err := c.open(ctx, "/api/tail", query)
	if err != nil {
		return ended(ctx, err)
	}
	defer body.Close()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, longestLine)
	sample := uint32(1)
	for lines.Scan() {
		var l page.Line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return fmt.Errorf("%s is not the page of clusterdns: %w", c.base, err)
		}
		if err := t.print(out, lines.Text(), &l, &sample); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return ended(ctx, err)
	}
	return ended(ctx, errors.New("the server has ended the connection"))
}

// ended is nil where ctx has ended, which is no mistake.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// print writes a line of the server, and before it how many queries each line stands for, when that has changed.
func (t *Tail) print(out io.Writer, text string, l *page.Line, sample *uint32) error {
	var err error
	switch {
	case t.JSON && (l.Time != nil || l.Omitted > 0):
		_, err = fmt.Fprintln(out, text)
	case t.JSON:
	case l.Omitted > 0:
		_, err = fmt.Fprintln(out, paint(t.Colours, dim, fmt.Sprintf("… %d lines left out: they came faster than they were read", l.Omitted)))
	case l.Time != nil:
		if l.Sample != *sample {
			*sample = l.Sample
			note := fmt.Sprintf("… one query in %d is shown", l.Sample)
			if _, err := fmt.Fprintln(out, paint(t.Colours, dim, note)); err != nil {
				return err
			}
		}
		_, err = fmt.Fprintln(out, t.line(l))
	}
	return err
}

func (t *Tail) line(l *page.Line) string {
	client := observe.Clean(l.Client)
	if l.Who != "" {
		client += " (" + observe.Clean(l.Who) + ")"
	}
	rcode := observe.Clean(l.Rcode)
	if rcode != "NOERROR" && rcode != "NXDOMAIN" {
		rcode = paint(t.Colours, red, rcode)
	}
	line := fmt.Sprintf("%s %s %s %s %s %s %s", l.Time.Local().Format("15:04:05"), client, observe.Clean(l.Type), observe.Clean(l.Name), rcode,
		duration(l.Took), observe.Clean(l.Source))
	line = strings.TrimRight(line, " ")
	if l.Reason != "" {
		line += " " + paint(t.Colours, dim, observe.Clean(l.Reason))
	}
	return line
}
