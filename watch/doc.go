// Package watch compiles Kubernetes objects into zone data.
//
// A source (an API server, or a directory of manifests) strips objects on arrival to what is read, and marks the
// services that they belong to dirty. One publisher compiles each dirty service whole, from the objects as they are,
// and publishes all in one step.
//
// Invariant: the index is never blank and never half: before services, slices and namespaces have been read once, none
// of their names is published; after that a relist is a diff in place. Source.Run owns every goroutine of the package.
package watch
