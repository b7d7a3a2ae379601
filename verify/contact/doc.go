// Package contact verifies e-mail addresses and telephone numbers with one-time
// codes (methods contact.email and contact.phone). It shows that somebody who
// applies reads what is sent there, and nothing about who they are.
//
// Rules of this room:
//   - A code is drawn evenly from all 1,000,000 (no bias, no weak ones left out)
//     and is in the message and in nobody's log. A Message prints without values.
//   - The keyed hash of a code and its comparison are the vault's; rows, attempts
//     and expiry are onboard's. Nothing here is stored.
//   - Limits count the messages to one address and nothing wider. A limit per
//     country or carrier would let one fraudster shut out everybody there.
//   - What is sent is plain: no link, no tracking, no name, no reason. A code says
//     for which provider it is and that nobody will ask for it.
//   - Nothing goes out unencrypted, but to a relay on this very machine.
//   - An error tells whether trying again makes sense, and never the address:
//     unavailable is passing, invalid is for good. A server's own words may repeat
//     the address, so only its reply code goes into an error.
package contact
