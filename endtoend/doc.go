// Package endtoend runs Muster as its users do, as processes, and does to them
// what the world does: it kills them, traces them, starts two of them, takes their
// keys away, and searches all that they wrote for what should not be there.
//
// Rules of this room:
//   - The program is built once, from this tree, without the race detector: what
//     runs here is what is released.
//   - Nothing is read but what an outsider gets: the API, the command line, files,
//     system calls.
//   - No sleeps: a condition is polled until a deadline, and a failure shows the
//     end of the process's log.
//   - MUSTER_SOAK=1 runs the long versions. With CI set, PostgreSQL or strace that
//     is missing is a failure.
package endtoend
