// Package synthetic makes applications of people and companies that do not
// exist, for the demonstration, the benches and the tests of load.
//
// Rules of this room:
//   - Deterministic: the same seed and number give the same application, byte
//     for byte, in any order and on any machine. No clock, no I/O.
//   - Every value could be right (telephone, address, IBAN, wallet, LEI, public
//     address in the country it is said to be in), but for those of class
//     Invalid, each of which has one fault that it names.
//   - Persons are put together at random from lists of common names (words.txt).
//     Mail goes to domains reserved for examples (RFC 2606). Cards are tokens:
//     no card number occurs, but in the one fault that consists of one.
//   - The shares of each kind are a struct that whoever measures prints.
package synthetic
