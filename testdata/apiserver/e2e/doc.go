// Package e2e tests clusterdns as people run it: the command, started on a
// Corefile, before a real API server, asked over UDP and TCP.
//
// It has only tests: go test -count=1 ./... in the folder above (without the
// count, go test may repeat a cached result: it does not know that the commands
// are part of the test). They run both commands as processes, so that a kill is
// a kill, and need nothing but the Go toolchain and dig. Everything listens on
// loopback. No test sleeps for a state that it can ask for, and each has an API
// server of its own; its subtests share that.
//
// To test a behaviour: startCluster, startServer on a Corefile, awaitServing;
// then change objects through the cluster's client, and say what the server
// answers, denies, lacks or waits for.
// What was started ends with the test, and shows its logs if that failed.
package e2e
