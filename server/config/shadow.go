package config

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/clusterdns/clusterdns/observe/shadow"
)

// The defaults of shadow.
const (
	standardShare         = 0.01
	standardRate          = 100
	standardShadowTimeout = 2 * time.Second

	mostRate          = 10_000           // questions in a second
	mostShadowTimeout = 10 * time.Second // a question has a socket for as long
)

// shadow ADDRESS… { sample PERCENT%; rate NUMBER; timeout DURATION }
func (b *blockReader) shadow(a *args) {
	o := &shadow.Options{Share: standardShare, Rate: standardRate, Timeout: standardShadowTimeout}
	for _, word := range a.atLeastOne("the address of the server to compare with, such as 10.96.0.11") {
		address, ok := upstreamAddress(word, dnsPort)
		if !ok {
			a.fail("%q is no IP address, with or without a port", word)
		} else if !slices.Contains(o.Servers, address) {
			o.Servers = append(o.Servers, address)
		}
	}
	a.options(options{
		"sample":  func(s *args) { o.Share = s.percent() },
		"rate":    func(s *args) { o.Rate = s.number(1, mostRate) },
		"timeout": func(s *args) { o.Timeout = s.duration(time.Millisecond, mostShadowTimeout) },
	})
	b.Steps.Shadow = o
}

// percent reads a share such as 5%.
func (a *args) percent() float64 {
	const want = "a share above 0% and up to 100%, such as 1%"
	word := a.word(want)
	digits, found := strings.CutSuffix(word, "%")
	n, err := strconv.ParseFloat(digits, 64)
	if !found || err != nil || !(n > 0 && n <= 100) {
		a.fail("got %q, wants %s", word, want)
		return 0
	}
	return n / 100
}

func usesShadow(b *Block) bool { return b.Steps.Shadow != nil }

func summarizeShadow(b *Block, s *summary) {
	if o := b.Steps.Shadow; o != nil {
		var to []string
		for _, address := range o.Servers {
			to = append(to, address.String())
		}
		s.step("shadow: %v%% of the answers compared with %s, %d in a second at most, timeout %v",
			o.Share*100, strings.Join(to, " "), o.Rate, o.Timeout)
	}
}
