package server

import "testing"

func TestGarbagePercent(t *testing.T) {
	for _, test := range []struct {
		live uint64
		want int
	}{{0, 100}, {1 << 20, 100}, {8 << 20, 100}, {16 << 20, 100}, {32 << 20, 50}, {64 << 20, 25}, {1 << 30, 20}} {
		if got := garbagePercent(test.live); got != test.want {
			t.Errorf("%d MB live: %d percent, want %d", test.live>>20, got, test.want)
		}
	}
}
