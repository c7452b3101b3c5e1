// Package object has the Kubernetes objects that names come from, stripped to what is read of them, and what is wrong
// with them.
//
// Invariant: a stripped object holds only names, addresses and numbers that can be a part of DNS data. What is wrong
// with a field is a Problem, the field is left out, and the rest of the object is used. A stripped object keeps no
// decoded one alive.
//
// Stripping is a pure function, and stripped objects do not change: any number of goroutines may share them.
package object
