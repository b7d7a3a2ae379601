// Package outbound is the one way out of the house over HTTP, and the signature
// that goes with what is sent.
//
// Rules of this room:
//   - It imports nothing of Muster's own. All HTTP requests that Muster makes go
//     through a Client.
//   - An address is judged when it is dialled, after resolution: a name that
//     resolves to a public address while it is checked and to a private one
//     afterwards leads nowhere. What is not public unicast is refused, also inside
//     an IPv4-mapped, NAT64, 6to4 or Teredo address; so are the metadata services
//     of clouds that sit on public addresses.
//   - The exceptions are a list of exact host:port in the configuration. Only they
//     may be reached without TLS.
//   - No proxy from the environment, no cookies, no credentials that a redirect
//     could carry away. Redirects are refused unless a Client is made for them.
//   - Everything is bounded: time, header, body.
//   - Errors name no URL: one may hold a secret.
package outbound
