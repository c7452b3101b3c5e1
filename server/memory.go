package server

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// settleTime is how long no list comes when a start or a relist is over, and longestSettle how long to wait for that.
	settleTime    = time.Second
	longestSettle = 30 * time.Second
	// garbage is how many bytes may wait to be collected. Go's default is as many as are in use, so that with a large
	// cluster half of the memory would be garbage. A heap that is smaller than garbage keeps the default; a large one
	// has at least a fifth of its size, because otherwise the collector would run all the time.
	garbage                = 16 << 20
	leastGarbagePercent    = 20
	ordinaryGarbagePercent = 100
	// startGarbagePercent is while lists come: a heap that grows to the size of a cluster would otherwise grow to twice that
	// before it is collected.
	startGarbagePercent = 25
)

// keepSmall returns memory to the system after each list of a whole cluster, which leaves much garbage. It returns when
// ctx ends.
func keepSmall(ctx context.Context, listed <-chan struct{}) {
	chosen := os.Getenv("GOGC") != "" // by the operator
	set := func(percent int) {
		if !chosen {
			debug.SetGCPercent(percent)
		}
	}
	set(startGarbagePercent)
	forgetCode() // of the start, before the largest moment, which is the first list
	for {
		select {
		case <-listed:
		case <-ctx.Done():
			return
		}
		set(startGarbagePercent)
		longest := time.After(longestSettle)
		for coming := true; coming; {
			forgetCode() // of reading lists: what is largest now is making names of them
			select {
			case <-listed:
			case <-time.After(settleTime):
				coming = false
			case <-longest:
				coming = false
			case <-ctx.Done():
				return
			}
		}
		debug.FreeOSMemory()
		forgetCode()
		set(garbagePercent(living()))
	}
}

// garbagePercent is the collector's target for a heap of which live bytes are in use.
func garbagePercent(live uint64) int {
	if live <= garbage {
		return ordinaryGarbagePercent
	}
	return max(leastGarbagePercent, int(garbage*100/live))
}

// living is how many bytes the last collection found in use.
func living() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}
