package gate

import (
	"time"

	"github.com/muster-cip/muster"
)

// Believe takes a message for verified, so that a fuzz target gets past its signature.
func (m *Message) Believe() { m.verified = true }

// Body is the body of a message.
func (m *Message) Body() []byte { return m.body }

// WithBody is a message of a head and any body, as if it had been signed.
func WithBody(k Kind, h Head, body []byte) *Message {
	return &Message{Kind: k, Head: h, body: body, verified: true}
}

// Profiles is how many profiles the snapshot's line holds.
func (s *Snapshot) Profiles() int { return int(s.known.n) }

// New is a gate of s, heard at a time.
func New(s *Snapshot, at time.Time) *Gate {
	g := &Gate{}
	g.Set(s, &Head{Time: at, Bound: time.Hour})
	return g
}

// Verdict is what g says of an account.
func (g *Gate) Verdict(account string) (*muster.Verdict, bool) {
	_, h := g.Load()
	a := g.Decide(&Request{Account: account}, h.Time)
	return a.Verdict, a.Known
}
