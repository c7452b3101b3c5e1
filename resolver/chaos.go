package resolver

import (
	"math/rand/v2"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// chaos says which server this is, in TXT records of class CH (directive chaos).
type chaos struct{ texts map[string][]string } // by name in wire form

func newChaos(o *Chaos) *chaos {
	c := &chaos{texts: map[string][]string{}}
	for _, names := range []struct {
		texts []string
		names []string
	}{
		{[]string{o.Version}, []string{"version.bind", "version.server"}},
		{[]string{o.Hostname}, []string{"hostname.bind", "id.server"}},
		{o.Authors, []string{"authors.bind"}},
	} {
		for _, name := range names.names {
			wired, _ := wire.ParseName(name)
			c.texts[string(wired)] = names.texts
		}
	}
	return c
}

// answer answers the names that servers have in common, by chance in another order each time.
func (c *chaos) answer(r *Request, q *question) result {
	if q.class != wire.ClassCH || q.qtype != wire.TypeTXT {
		return result{}
	}
	texts, ok := c.texts[string(q.name.Name())]
	if !ok {
		return result{}
	}
	for n, first := 0, rand.N(max(len(texts), 1)); n < len(texts); n++ {
		text := texts[(first+n)%len(texts)]
		r.Reply.AddAt(q.owner, &wire.Written{Type: wire.TypeTXT, Class: wire.ClassCH,
			Data: append([]byte{byte(len(text))}, text...)})
	}
	return result{outcome: answered, source: FromChaos}
}
