// Package rest stands in for k8s.io/client-go/rest: see docs/decisions/0074.
package rest

// Config would say how a cluster is reached.
type Config struct{}
