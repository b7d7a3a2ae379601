// Package api is the HTTP interface for machines. Read routes.go first: it is
// the table of contents.
//
// Rules of this room:
//   - It holds no rules of the programme: it translates, authorises, calls.
//   - A route names its permission in the table; nothing is served that is not
//     in it, and nothing in it is open unless the table says Public.
//   - Handlers return errors. One table (problem.go) leads from codes to
//     statuses and one function writes them, whoever found the fault: the mux,
//     the token check, the library's validation or a handler.
//   - No value that a caller sent comes back in a problem or goes to a log, a
//     metric or a trace. The access log has the route's pattern, never the path.
//   - What it calls is an interface declared beside the handlers that call it;
//     cmd/muster wires.
package api
