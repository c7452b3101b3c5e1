// Package manifests is a source of Kubernetes objects without a cluster: it reads a folder of manifests and stands in
// for the control plane, as far as names need one.
//
// It validates objects as an API server does, gives addresses to services and pods, makes the pods of workloads and the
// slices of services.
//
// Invariant: a reading follows from the files alone. The same files give the same names and addresses, whatever was in
// the folder before.
//
// Folder.Run does everything in its own goroutine; a Reading belongs to whom it is handed to.
package manifests
