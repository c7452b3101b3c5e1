//go:build linux

package main

import "testing"

func TestTable(t *testing.T) {
	results := []result{
		{Row: "forward", Server: "echo", Limit: 2, Samples: []sample{{CPU: 5, Rate: 2000}, {CPU: 7, Rate: 2000}, {CPU: 4, Rate: 2000}}},
		{Row: "forward", Server: "clusterdns", Samples: []sample{{CPU: 30, Rate: 2000, Lost: 1, P99: 200.4}, {CPU: 20, Rate: 1990, P99: 100}, {CPU: 25, Rate: 2000, Lost: 2, P99: 300}}},
		{Row: "tcp", Server: "clusterdns", Samples: []sample{{CPU: 2.571, Rate: 150_000}}},
	}
	const want = `| row | server | CPU us | least-most | x echo | answers/s | lost | p99 us |
|---|---|---|---|---|---|---|---|
| forward | echo | 5.00 | 4.00-7.00 | 0.50 | 2000 | 0 |  |
| forward | clusterdns | 25.0 | 20.0-30.0 | 2.50 | 2000 | 3 | 200 |
| tcp | clusterdns | 2.57 | 2.57-2.57 |  | 150000 | 0 |  |
`
	if got := table(results); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
