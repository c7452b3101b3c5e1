// Package skydns keeps the names of a prefix of etcd in memory, in the layout of SkyDNS, which external-dns writes: the
// key /skydns/com/example/www/x has, as JSON, one record of www.example.com and of x.www.example.com.
//
// It lists the prefix once and then watches it, so that answering only reads: the last state goes on while etcd is away.
// It talks to etcd's JSON gateway with net/http, because the client library with its gRPC would make the program 7.6 MB
// larger for everybody. One goroutine runs a Source; any number read what it publishes.
package skydns
