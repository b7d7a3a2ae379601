// Package ask answers "may this account do this, now?" in the protocols that a
// provider's machines speak already: AuthZEN over HTTP, Envoy's ext_authz, nginx's
// auth_request. The centre and every edge serve the same handlers.
//
// Rules of this room:
//   - It decides nothing. A question becomes a gate.Request, a gate.Answer becomes
//     the protocol's answer.
//   - What a caller sent is never kept, logged, counted or repeated: a subject's id can
//     be a mail address. What is recorded is the account's keyed hash and words of ours.
//   - Nothing on the way to an answer waits for a disk, a network or a queue. What
//     cannot be recorded is counted as lost.
//   - The operator's words go to the one who asks, never to the customer: into the
//     answer's admin member or metadata, not into a body that a proxy hands on.
package ask
