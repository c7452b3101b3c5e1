// Package monitoring holds deploy/monitoring to a real Prometheus: what its alerts fire for, and that each query of
// the dashboard and of the alerts finds what a server of this tree says. It needs prometheus and promtool (Debian:
// prometheus).
package monitoring
