// Package fake stands in for k8s.io/client-go/dynamic/fake, which only tests of Helm
// itself import: see docs/decisions/0074.
package fake
