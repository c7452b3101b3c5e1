// Package observe has what every room counts and logs with: a histogram, a limiter for log lines that repeat, a count
// of panics, and a pause for those who try again.
//
// It knows nothing of DNS, Kubernetes or Prometheus, and imports no other room.
package observe
