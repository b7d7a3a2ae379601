// Package register keeps special measures: determinations, the acts on them
// (enact, renew, lift, license), and which accounts come under which.
//
// Rules of this room:
//   - Every act is proposed by one operator and completed by another; it has a leaf.
//   - How far ahead and how long a measure may be is said by the packs in effect.
//   - From the instant at which an act binds, whoever decides an account knows it; a
//     resumable job brings those up to it that were there before.
//   - Facts are opened in the process, under a use with two leaves. What comes out
//     is ids, counts and the names of facts, never a value.
//   - A preview writes nothing but those two leaves.
package register
