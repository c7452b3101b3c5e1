package observe

import (
	"context"
	"time"
)

// Pause waits for d, and reports whether ctx has gone on until then.
func Pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
