// Package server is the program: its commands, and the life of what they run. Each trade has a folder below: config
// reads the Corefile, listen serves DNS, logs and metrics tell what is going on, admin serves HTTP.
//
// Invariant: a generation, all that one Corefile asks for, is exchanged as a whole. Until the new one is ready the old
// one serves, and when the new one cannot be had it goes on.
//
// Concurrency: the Program starts every goroutine, and Close returns after all of them have ended. Only Apply and Close
// change what runs, one at a time; others see it under a lock that is held only for moments.
package server
