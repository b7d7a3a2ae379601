// Package measure compares special measures with what is known of an account:
// determinations as they stand + facts -> what matches, on which facts, and what
// the gate is to do between which instants.
//
// Rules of this room:
//   - It is pure: no clock but the instant passed in, no store, no logging.
//   - A determination matches on the facts that it names and on no others. Place of
//     birth and language cannot be named at all.
//   - Where only the network or the means of payment speak for a match it is
//     doubtful: nothing is prohibited by it, a person or a pack's rule asks for more.
//   - Instants are absolute. What begins or ends does so without anybody's help.
//   - No country, section or period stands here: they are in determinations and packs.
package measure
