// Package scheme stands in for k8s.io/client-go/kubernetes/scheme: see docs/decisions/0074.
package scheme

import "k8s.io/apimachinery/pkg/runtime"

// Scheme knows no kinds: those that a render may ask for are said by whoever renders.
var Scheme = runtime.NewScheme()
