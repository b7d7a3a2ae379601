// Package watch has the standing duties: what time or news starts, and nobody
// waits for. There is one mechanism for all of them, a table of jobs that are
// enqueued in the transaction that causes them; read runner.go first.
//
// Rules of this room:
//   - A job is tried at least once and perhaps more often: its holder may die after
//     the work and before the record of it. So every duty may be done twice, and what
//     leaves the house carries an id that stays the same.
//   - A try ends before its lease does, and nothing is sent that could not be
//     answered within it. Who lost the lease writes nothing but what it has sent.
//   - A job holds ids. Addresses, codes and secrets are opened when they are needed,
//     in the duty, and dropped; an outcome is recorded as a code.
//   - A job that fails is put off, each time longer, with jitter. One that fails for
//     good is set aside, kept and counted, for a person to look at.
//   - Webhooks say ids and outcomes, never a value. What they say is kept with each
//     attempt, so that a replay says the same.
//   - One slow receiver holds up its own duty's workers only.
package watch
