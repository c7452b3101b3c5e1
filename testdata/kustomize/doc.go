// Package kustomize has kustomize build what clusterdns migrate writes for each distribution. It is a module of its own,
// since nothing else needs kustomize:
//
//	go test -count=1 ./...
package kustomize
