package server

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/server/config"
)

// reloadCounts is what reload remembers for metrics and the log.
type reloadCounts struct {
	failed atomic.Uint64
	behind atomic.Bool // the files as they are could not be served
	fault  fault       // of the files as they are; zero when they are served
	last   atomic.Pointer[outcome]
}

// outcome is what became of the last reload that found something new.
type outcome struct {
	at    time.Time
	fault string // "" when the files are served
}

// fault tells failures apart. What is wrong with a file is counted and logged once for each content of it, however often
// the file is looked at.
type fault struct{ digest, text string }

func faultOf(next *config.Config, err error) fault {
	f := fault{text: err.Error()}
	var mistake *config.Error
	switch {
	case next != nil:
		f.digest = next.Digest
	case errors.As(err, &mistake):
		f.digest = mistake.Digest
	}
	return f
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

// settle notes that the files as they are are served.
func (r *reloadCounts) settle() {
	r.behind.Store(false)
	r.fault = fault{}
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
// signal it is served anew even when its meaning is the same, because a file that it names may have changed. What is wrong
// with the files is counted and logged once, and again when they change.
func (p *Program) reload(ctx context.Context, load func() (*config.Config, error), forced bool) {
	if load == nil {
		return
	}
	p.awaitReplaced(ctx)
	next, err := attempt(ctx, 0, load)
	if err == nil && next.Digest == p.config.Digest && !forced {
		if p.reloads.behind.Load() {
			p.log.Info("reload: the Corefile on disk is again the one that is served")
			p.reloads.last.Store(&outcome{at: time.Now()})
		}
		p.reloads.settle()
		return
	}
	switch {
	case err == nil && next.Empty != "":
		err = errors.New(next.Empty)
	case err == nil:
		err = p.apply(ctx, next)
	}
	if err != nil && ctx.Err() != nil {
		return // the program ends, which is not an error of the files
	}
	if err != nil {
		p.reloads.behind.Store(true)
		if now := faultOf(next, err); forced || now != p.reloads.fault {
			p.reloads.failed.Add(1)
			p.reloads.fault = now
			p.reloads.last.Store(&outcome{time.Now(), config.Mask(now.text)})
			for _, line := range strings.Split(err.Error(), "\n") {
				p.log.Error("reload: failed, keeping the old configuration: " + line)
			}
		}
		return
	}
	p.reloads.settle()
	p.reloads.last.Store(&outcome{at: time.Now()})
	p.log.Info("Running configuration SHA512 = " + next.Digest)
	p.log.Info("Reloading complete")
}

// awaitReplaced waits until the generation that the last reload has replaced is gone: there are never more than two.
// Signals that come meanwhile are one reload.
func (p *Program) awaitReplaced(ctx context.Context) {
	if p.replaced == nil {
		return
	}
	select {
	case <-p.replaced.done:
	case <-ctx.Done():
	}
}
