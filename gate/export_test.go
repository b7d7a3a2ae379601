package gate

// Believe takes a message for verified, so that a fuzz target gets past its signature.
func (m *Message) Believe() { m.verified = true }

// Body is the body of a message.
func (m *Message) Body() []byte { return m.body }

// WithBody is a message of a head and any body, as if it had been signed.
func WithBody(k Kind, h Head, body []byte) *Message {
	return &Message{Kind: k, Head: h, body: body, verified: true}
}
