// Package store keeps every table, migration, transaction and lease, in SQLite or
// in PostgreSQL.
//
// Rules of this room:
//   - SQL is written here and nowhere else. Each statement is written once, for both
//     databases; the few that must differ stand in sqlite.go and postgres.go.
//   - Rows hold ids, states, counts, times, outcomes and sealed bytes; never a clear
//     personal value. Error messages hold no value at all.
//   - When InTx returns nil, what fn wrote is committed and synced. Concurrent calls
//     share one commit (a group); one that fails undoes only its own writes.
//   - fn may run more than once: when another's failure undoes the group, and after
//     a deadlock or a row that was overtaken (PostgreSQL). It has no effect but
//     through its Tx. It does not call InTx: the writer would wait for itself.
//   - A write that failed ends its transaction: InTx returns that error even where fn
//     did not. On PostgreSQL writes are sent together before the next read or at the
//     end of fn, so that the error may come from a later call.
//   - Leaves get their indexes at the commit of their group: dense, and rising in the
//     order of commits. A transaction does not see the indexes of its own leaves.
//   - Times are microseconds, UTC. An id is unique in its table; a list is read by
//     keyset (Page), so that it is complete under inserts.
package store
