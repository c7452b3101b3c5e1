package page

import "time"

// State is how the parts of the server are.
type State struct {
	Version   string     `json:"version"`
	Revision  string     `json:"revision"`
	Explain   bool       `json:"explain"` // there is /explain
	Started   time.Time  `json:"started"`
	NotReady  []string   `json:"notReady"`  // what /ready waits for
	Addresses []string   `json:"addresses"` // that are listened on
	Reload    Reload     `json:"reload"`
	Caches    []Cache    `json:"caches"`
	Upstreams []Upstream `json:"upstreams"`
	Watches   []Watch    `json:"watches"`
	Troubles  []Trouble  `json:"troubles"` // of API servers, while they cannot be read
	Shadow    *Shadow    `json:"shadow"`   // null without the directive shadow
}

// Shadow is what a second server answers to the same questions.
type Shadow struct {
	Outcomes    []Outcome    `json:"outcomes"`
	Away        []string     `json:"away"`        // servers that do not answer
	Differences []Difference `json:"differences"` // the last ones that nothing explains, the newest first
}

// Outcome is how often a comparison ended so.
type Outcome struct {
	Result string `json:"result"` // "same", "explained", "different", "unanswered" or "dropped"
	Kind   string `json:"kind"`   // of difference; "" for none
	Count  uint64 `json:"count"`
}

// Difference is a question with two answers.
type Difference struct {
	Time   time.Time `json:"time"`
	Name   string    `json:"name"`
	Type   string    `json:"type"`
	Ours   string    `json:"ours"`
	Theirs string    `json:"theirs"`
	Server string    `json:"server"` // the second one
}

// Reload is what became of the Corefile.
type Reload struct {
	Current bool       `json:"current"` // what was last read is what is served
	Digest  string     `json:"digest"`
	Last    *time.Time `json:"last"` // when a reload last found something new; null for never
	Fault   string     `json:"fault"`
}

// Cache is the state of a cache.
type Cache struct {
	Zones    string `json:"zones"`
	Entries  int    `json:"entries"`
	Bytes    int    `json:"bytes"`
	Requests uint64 `json:"requests"`
	Hits     uint64 `json:"hits"`
	Stale    uint64 `json:"stale"` // answers whose TTL was over
	Evicted  uint64 `json:"evicted"`
}

// Upstream is the state of a server that is asked.
type Upstream struct {
	Address string  `json:"address"`
	Health  string  `json:"health"` // "up", "down" or "loop"
	Queries uint64  `json:"queries"`
	Failed  uint64  `json:"failed"` // without a usable reply
	P50     float64 `json:"p50"`    // seconds
	P99     float64 `json:"p99"`
	Waiting int     `json:"waiting"` // questions under way, of all upstreams beside it
}

// Watch is the state of what is watched of one kind.
type Watch struct {
	Source  string   `json:"source"`
	Kind    string   `json:"kind"`
	Objects int      `json:"objects"`
	Idle    *float64 `json:"idle"` // seconds since the API server last said something; null for manifests
	Synced  bool     `json:"synced"`
}

// Trouble is why the API server of a source cannot be read at the moment, and what to do: the text of /ready, of the log
// and of the EDE.
type Trouble struct {
	Source string `json:"source"`
	Why    string `json:"why"`
}
