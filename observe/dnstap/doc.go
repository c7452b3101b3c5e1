// Package dnstap sends DNS messages to those who collect them, in the format of dnstap (https://dnstap.info): each is a
// Protocol Buffers message in a frame of Frame Streams.
//
// Add never waits: messages are encoded into a bounded queue, and what does not fit is dropped and counted. Whoever takes
// them, the connection to him and his absence are the business of Run alone. Any number of goroutines may call Add.
package dnstap
