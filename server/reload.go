package server

import (
	"context"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/server/config"
)

// reloadCounts is what reload remembers for metrics and the log.
type reloadCounts struct {
	failed atomic.Uint64
	logged string // the last error of the files as they are; "" when they are good
}

// watchConfig reloads on each signal, and when a look at the files finds that their meaning has changed. It returns
// when ctx ends.
func (p *Program) watchConfig(ctx context.Context, load func() (*config.Config, error), signals <-chan os.Signal) {
	for {
		var look <-chan time.Time
		if interval := p.lookInterval(); interval > 0 {
			look = time.After(interval)
		}
		select {
		case <-ctx.Done():
			return
		case <-signals:
			p.reload(ctx, load, true)
		case <-look:
			p.reload(ctx, load, false)
		}
	}
}

// lookInterval spreads the looks of many instances over time; 0 without `reload`.
func (p *Program) lookInterval() time.Duration {
	r := p.config.Reload
	if r.Interval <= 0 {
		return 0
	}
	return r.Interval + time.Duration((rand.Float64()-0.5)*float64(r.Jitter))
}

// reload reads the Corefile again and serves it. When it is bad the old one goes on, and the log says why. After a
// signal it is served anew even when its meaning is the same, because a file that it names may have changed. An error
// that repeats at each look is logged once.
func (p *Program) reload(ctx context.Context, load func() (*config.Config, error), forced bool) {
	if load == nil {
		return
	}
	next, err := load()
	if err == nil && next.Digest == p.config.Digest && !forced {
		p.reloads.logged = ""
		return
	}
	if err == nil {
		err = p.Apply(ctx, next)
	}
	if err != nil && ctx.Err() != nil {
		return // the program ends, which is not an error of the files
	}
	if err != nil {
		p.reloads.failed.Add(1)
		if forced || p.reloads.logged != err.Error() {
			p.log.Error("reload: failed, keeping the old configuration: " + err.Error())
		}
		p.reloads.logged = err.Error()
		return
	}
	p.reloads.logged = ""
	p.log.Info("Running configuration SHA512 = " + next.Digest)
	p.log.Info("Reloading complete")
}
