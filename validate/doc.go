// Package validate holds the claims of an application against published
// formats: what a telephone number, an address, an IBAN can look like at all.
//
// Rules of this room:
//   - It says whether a value can be right, never whether it is true, and never
//     whether it is enough: an absent part is listed as absent, and a policy pack
//     decides who is asked for it. Only a value that cannot be right is a fault.
//   - All faults are reported at once, each with its JSON Pointer. No message and
//     no pointer repeats a value: rejected values are personal data too.
//   - Formats come from published tables (folder tables, made by gen), whose
//     origin, edition and terms stand in their heads. Names of regions, towns and
//     streets are never checked against a list.
//   - Claims are kept as typed. What look-ups and comparisons need is computed
//     beside them, in Normalised.
//   - A whole card number is refused wherever it stands, except where the value
//     is known to be something else because it validated in its own field.
//   - Pure: no I/O, no clock but the one passed in, no logging.
package validate
