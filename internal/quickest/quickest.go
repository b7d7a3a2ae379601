// Package quickest times what must not take long, in a test on a machine that others use
// too: a pause falls into one run, and what is slow by itself is slow in every one.
package quickest

import "time"

// runs is how often something is tried that took too long.
const runs = 20

// Of runs fn until it took no longer than most, and returns how long its quickest run took.
func Of(most time.Duration, fn func()) time.Duration {
	took := time.Duration(1<<63 - 1)
	for n := 0; n < runs && took > most; n++ {
		began := time.Now()
		fn()
		took = min(took, time.Since(began))
	}
	return took
}
