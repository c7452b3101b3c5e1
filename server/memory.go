package server

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// settleTime is how long after a list the rest of a start or a relist is over: the lists of all kinds come within it.
	settleTime = time.Second
	// garbage is how much may lie uncollected beside what lives. Go's default is as much again as lives, which with a large cluster
	// is what most of the memory would be for. A smaller heap keeps the default, a larger one a fifth: the collector must not run
	// all the time.
	garbage                = 8 << 20
	leastGarbagePercent    = 20
	ordinaryGarbagePercent = 100
)

// keepSmall gives back to the system what reading a whole list left over, each time that one has been read, until ctx ends.
func keepSmall(ctx context.Context, listed <-chan struct{}) {
	for {
		select {
		case <-listed:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(settleTime):
		case <-ctx.Done():
			return
		}
		debug.FreeOSMemory()
		if os.Getenv("GOGC") == "" { // else somebody has decided
			debug.SetGCPercent(garbagePercent(living()))
		}
	}
}

// garbagePercent is the collector's target for a heap of that many bytes.
func garbagePercent(live uint64) int {
	if live <= garbage {
		return ordinaryGarbagePercent
	}
	return max(leastGarbagePercent, int(garbage*100/live))
}

// living is what the last collection found in use.
func living() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}
