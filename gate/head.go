package gate

import "time"

// Head says which state is the latest, and that it was so at a time. Every message
// begins with one.
type Head struct {
	Deployment string
	Epoch      uint64 // rises when the centre is restored
	From       uint64 // of a delta: it leads from any state From..Seq to the one of Seq
	Seq        uint64
	Digest     Digest        // of the state
	Accounts   uint64        // in it
	Time       time.Time     // of the centre, when it was signed
	Bound      time.Duration // past this age the state is stale
	Observe    bool          // no pack enforces: what the fail table denies is advice
	Fail       Fail          // of the packs in effect
	KeyID      [8]byte       // of the accounts' hash key
}
