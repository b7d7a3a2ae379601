// Package ledger keeps access records and leases: who used an account, from which
// address and when, and which account held which of the provider's own addresses.
//
// Rules of this room:
//   - A batch is taken whole or refused whole. What was acknowledged is durable.
//   - No value of a record is in an error, a log or a metric.
//   - It imports no store: what it needs of one it declares (Tx).
//   - A record is sealed once, by the transaction that takes its batch away.
//   - A question is a reveal: leaf first, then the values; bounded in time, by pages.
//   - The formats are versioned and written down (docs/formats/ledger.md); a decoder takes
//     any input, after it was authenticated.
package ledger
