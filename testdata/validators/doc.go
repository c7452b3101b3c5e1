// Package validators has what the directive dnssec signs checked by others: delv of BIND asks about every kind of answer,
// with keys of every algorithm that dnssec-keygen makes, and Unbound resolves in a signed zone, below its delegations
// too, with the key as its trust anchor.
//
//	go test ./testdata/validators
package validators
