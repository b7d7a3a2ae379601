// Package policy is the programme, executable: pack + facts -> decision with
// reasons. The same pack prints the written programme and is replayed over past
// decisions before it takes effect.
//
// Rules of this room:
//   - Pure: no I/O, no clock, no logging, no package state. Same packs, same
//     facts, same decision, on any machine, years later (testdata/golden).
//   - A regime is a pack. No Go file names a section of a rule, a threshold, a
//     count or a retention period, and none names a pack.
//   - A pack is hostile until it is compiled: its size, depth, number of
//     expressions and their cost are bounded before anything is evaluated.
//   - The extension set of CEL is pinned by the pack's format number (cel.go);
//     a format that decided once is never changed, a new one is added.
//   - Words for the customer come from the pack and are printed as they stand:
//     nothing here adds a list, a score, a threshold or another customer to them.
//
// The format is documented in docs/formats/pack.md.
package policy
