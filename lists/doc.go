// Package lists holds what the readers of watch lists share: text that came from
// outside, countries, dates, names and numbers as publishers write them, and the one
// canonical form by which snapshots are named and compared. Each publisher's own
// format has a folder below.
//
// Rules of this room:
//   - Pure: bytes in, entries out. No clock, disk or network.
//   - A list file is hostile. Every reader ends in bounded time and memory, whatever
//     it is given, and has a fuzz target.
//   - A row is never dropped in silence: it becomes an entry, a part of one, or a Flaw
//     with its line. A file that is not what it should be is an error that says why.
//   - A Flaw says file, line and reason, and never repeats the row: an own list holds
//     personal data, and the line is enough to find it.
package lists
