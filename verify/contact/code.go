package contact

import (
	"crypto/rand"
	"encoding/binary"
	"time"

	"golang.org/x/text/unicode/norm"
)

// What a code lives by.
const (
	Lifetime = 10 * time.Minute
	Attempts = 5
	Digits   = 6
)

// SandboxCode is the code that a sandbox deployment takes for every challenge.
// In production it is a code like any other.
const SandboxCode = "000000"

const codes = 1_000_000

// NewCode draws a code of Digits decimal digits, each equally likely.
func NewCode() string {
	// 2^32 is no multiple of a million: draws past the last whole multiple would
	// make low codes likelier, and are drawn again.
	const last = (1<<32)/codes*codes - 1
	var b [4]byte
	for {
		rand.Read(b[:]) // never fails (crypto/rand)
		n := binary.BigEndian.Uint32(b[:])
		if n > last {
			continue
		}
		n %= codes
		var out [Digits]byte
		for i := Digits - 1; i >= 0; i-- {
			out[i] = '0' + byte(n%10)
			n /= 10
		}
		return string(out[:])
	}
}

// ReadCode reads a code as people type it: spaces and dashes anywhere, full-width
// digits. It is false where what remains is not Digits digits; such an answer was
// never a guess, and need not cost an attempt.
func ReadCode(typed string) (string, bool) {
	if len(typed) > 64 {
		return "", false
	}
	var out []byte
	for _, r := range norm.NFKC.String(typed) {
		switch {
		case r >= '0' && r <= '9':
			out = append(out, byte(r))
		case r == ' ' || r == '-' || r == '\t' || r == 0x2010 || r == 0x2011 || r == 0x2013:
		default:
			return "", false
		}
	}
	return string(out), len(out) == Digits
}

// Limits bound how many codes go to one address, whoever asks for them.
type Limits struct {
	PerHour int
	PerDay  int
}

// DefaultLimits let a person mistype, lose and find a message again, and no more.
var DefaultLimits = Limits{PerHour: 5, PerDay: 10}

// Allowed reports whether one more code may go to an address that was sent
// lastHour codes in the past hour and lastDay in the past day. If not, again is
// the longest it can take until one may.
func (l Limits) Allowed(lastHour, lastDay int) (ok bool, again time.Duration) {
	switch {
	case lastDay >= l.PerDay:
		return false, 24 * time.Hour
	case lastHour >= l.PerHour:
		return false, time.Hour
	}
	return true, 0
}
