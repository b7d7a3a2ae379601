// Package watchlist is how watch lists arrive: files and answers of publishers' sites
// become editions, editions become snapshots, and one snapshot of each list is in
// effect.
//
// Rules of this room:
//   - What a file is, its content says. Its name only tells what its content cannot.
//   - A list that cannot be read, or not well enough, changes nothing: the snapshot in
//     effect stays.
//   - A snapshot never changes. Its name is the digest of its entries.
package watchlist
