// Package ledger keeps access records and leases: who used an account, from which
// address and when, and which account held which of the provider's own addresses.
//
// Rules of this room:
//   - A batch is taken whole or refused whole. What was acknowledged is durable.
//   - No value of a record is in an error, a log or a metric.
//   - It imports no store: what it needs of one it declares (Tx).
package ledger
