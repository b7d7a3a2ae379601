// Package kubernetes stands in for k8s.io/client-go/kubernetes: see docs/decisions/0074.
package kubernetes
