// Package document turns what staff saw of a paper into evidence (method
// document.manual): of a person's unexpired identification issued by a
// government, or of papers that show that an entity exists.
//
// Rules of this room:
//   - A person looked; this room checks that what they wrote down hangs together.
//     It reads no image and believes no number.
//   - All faults come at once, each with a JSON Pointer below /input, and never
//     with a value.
//   - A paper shows only what its kind can show: a driving licence shows no
//     nationality, whoever holds it.
//   - A paper is good on the day that it expires and not on the next, in the
//     provider's zone; its evidence ends with that day.
//   - What was seen (number, dates, note) comes back as bytes to be sealed, and
//     as one normalised identity for the blind index; the evidence holds neither.
//   - Pure: no I/O, no clock but the one passed in, no logging.
package document
