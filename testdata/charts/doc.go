// Package charts renders the Helm chart and the kustomize overlays of deploy with the libraries of Helm and kustomize, and lets a real API
// server check every object of them strictly. It is a module of its own, so that the program does not depend on those libraries.
package charts
