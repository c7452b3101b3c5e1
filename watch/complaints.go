package watch

import (
	"hash/maphash"
	"time"
)

// complaints are the mistakes that have been logged, so that each is logged once. They are remembered by namespace:
// whoever makes ten thousand mistakes in one namespace silences that namespace, and no other.
type complaints struct {
	seed   maphash.Seed
	spaces map[string]*complained
}

// complained is what has been logged of one namespace.
type complained struct {
	since time.Time
	words map[uint64]struct{} // hashes: the words hold texts of objects, which are as long as a tenant likes
}

const (
	// maxComplaints is how many mistakes of one namespace are logged in the time of forget.
	maxComplaints = 100
	// maxComplaining is how many namespaces are remembered. With another one, that which began first is forgotten.
	maxComplaining = 1000
	// forget is how long a namespace that has come to maxComplaints is silent.
	forget = time.Hour
)

func newComplaints() complaints {
	return complaints{maphash.MakeSeed(), map[string]*complained{}}
}

// first reports whether to log words about an object of a namespace now, and whether this is the last line about the
// namespace for a while.
func (c *complaints) first(namespace, words string, now time.Time) (ok, last bool) {
	space := c.spaces[namespace]
	if space == nil || len(space.words) >= maxComplaints && now.Sub(space.since) >= forget {
		if space == nil && len(c.spaces) >= maxComplaining {
			c.dropEldest()
		}
		space = &complained{now, map[uint64]struct{}{}}
		c.spaces[namespace] = space
	}
	sum := maphash.String(c.seed, words)
	if _, logged := space.words[sum]; logged || len(space.words) >= maxComplaints {
		return false, false
	}
	space.words[sum] = struct{}{}
	return true, len(space.words) == maxComplaints
}

func (c *complaints) dropEldest() {
	eldest := ""
	for name, space := range c.spaces {
		if eldest == "" || space.since.Before(c.spaces[eldest].since) {
			eldest = name
		}
	}
	delete(c.spaces, eldest)
}
