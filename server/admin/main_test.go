package admin

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain looks for goroutines that outlive their Run.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
