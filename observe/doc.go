// Package observe has what every room counts and logs with: a histogram, and a limiter for log lines that repeat.
//
// It knows nothing of DNS, Kubernetes or Prometheus, and imports no other room.
package observe
