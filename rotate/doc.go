// Package rotate gives keys new versions while everything goes on.
//
// Rules of this room:
//   - A turn is a row and a job. The job goes through the row's stages, in any process,
//     from where it was: killed at any instant, what was done is done again without
//     effect.
//   - A version is known everywhere before anybody uses it, and is used everywhere
//     before what lies under the old one is brought up to it. Between the two each
//     process has the time to learn: Config.Settle.
//   - An old version is destroyed when nothing needs it: what is to outlive it was
//     moved, what runs out by itself has run out. What nothing can move, because its
//     value is kept nowhere any more, goes with it, counted.
//   - A page is one transaction, with the place that it leads to, and the pages leave
//     as much time to others as they take.
//   - Each turn has a leaf at its beginning and one at its end.
//
// The keys themselves and their versions are of package vault.
package rotate
