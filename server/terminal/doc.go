// Package terminal shows on a terminal what the page of a running server shows in a browser: the commands top and tail. It
// asks the page's JSON, and nothing else.
//
// Everything that comes from the server is printed without control characters, since names come from the network.
package terminal
