// Package muster is the dictionary of the house: the nouns of the system, their
// limits, their codes, the one error type and the clock.
//
// Rules of this room:
//   - It imports nothing of Muster's own; every other room may import it.
//   - It has no I/O and reads no clock but the one passed in.
//   - One noun, one file: the struct, its limits, its closed vocabularies.
//   - No section of a rule, no threshold and no retention period stands here or
//     in any other Go file: those are data in a policy pack.
package muster
