// Package tracing sends spans to those who collect them: in JSON over HTTP, as Zipkin has it (API v2), as OpenTelemetry has
// it (OTLP), or as an agent of Datadog has it.
//
// Add never waits: spans are kept in a bounded backlog, and a trace that does not fit is dropped and counted. The collector
// and its absence are the business of Run alone. Any number of goroutines may call Add.
package tracing
