package server

import (
	"context"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/server/config"
)

// reloadCounts is what the metrics of reload tell.
type reloadCounts struct {
	failed atomic.Uint64
	said   string // what is wrong with the files as they are; "" for nothing
}

// watchConfig reloads on each signal, and when a look at the files finds that their meaning has changed, until ctx ends.
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

// reload reads the Corefile again and serves it. When it is bad the old one goes on, and the log says why. Asked for by signal
// it is served anew even when it says the same: a file that it names may have changed. What goes wrong at each look is said once.
func (p *Program) reload(ctx context.Context, load func() (*config.Config, error), asked bool) {
	if load == nil {
		return
	}
	next, err := load()
	if err == nil && next.Digest == p.config.Digest && !asked {
		p.reloads.said = ""
		return
	}
	if err == nil {
		err = p.Apply(ctx, next)
	}
	if err != nil && ctx.Err() != nil {
		return // the end came in between, and is no mistake of the files
	}
	if err != nil {
		p.reloads.failed.Add(1)
		if asked || p.reloads.said != err.Error() {
			p.log.Error("reload failed, the old configuration goes on: " + err.Error())
		}
		p.reloads.said = err.Error()
		return
	}
	p.reloads.said = ""
	p.log.Info("Running configuration SHA512 = " + next.Digest)
	p.log.Info("Reloading complete")
}
