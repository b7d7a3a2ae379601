package muster

import (
	"crypto/rand"
	"encoding/binary"
	"strings"
	"time"
)

// Prefixes of ids. An id is a prefix and 26 lower-case characters: a 48-bit
// millisecond time and 80 random bits in Crockford's base 32, so that ids of one
// kind sort by the time they were made.
const (
	PrefixApplication = "app_"
	PrefixCustomer    = "cus_"
	PrefixAccount     = "acc_"
	PrefixSubject     = "sub_"
	PrefixDecision    = "dec_"
	PrefixEvidence    = "evd_"
	PrefixReview      = "rev_"
	PrefixOperator    = "opr_"
	PrefixToken       = "tok_"
	PrefixWebhook     = "whk_"
	PrefixMessage     = "msg_"
	PrefixChallenge   = "chl_"
	PrefixPack        = "pck_"
	PrefixRequest     = "req_"
	PrefixKey         = "key_"
	PrefixEntry       = "ent_"
	PrefixActivation  = "act_"
	PrefixHold        = "hld_"
	PrefixErasure     = "ers_"
	PrefixHit         = "hit_"
	PrefixSweep       = "swp_"
	PrefixMeasureAct  = "msa_"
	PrefixImport      = "imp_"
	PrefixRotation    = "rot_"
	PrefixExport      = "exp_"
)

const crockford = "0123456789abcdefghjkmnpqrstvwxyz"

// NewID makes an id at time now.
func NewID(prefix string, now time.Time) string {
	var b [16]byte
	rand.Read(b[6:])
	ms := uint64(now.UnixMilli())
	b[0], b[1] = byte(ms>>40), byte(ms>>32)
	binary.BigEndian.PutUint32(b[2:], uint32(ms))
	return FormatID(prefix, b)
}

// FormatID writes the 16 bytes of an id as an id.
func FormatID(prefix string, b [16]byte) string {
	hi, lo := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	out := make([]byte, len(prefix)+26)
	copy(out, prefix)
	for i := len(out) - 1; i >= len(prefix); i-- {
		out[i] = crockford[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	return string(out)
}

// ParseID is the reverse of FormatID; false where id is none of that prefix.
func ParseID(prefix, id string) (b [16]byte, ok bool) {
	text, ok := strings.CutPrefix(id, prefix)
	if !ok || len(text) != 26 || text[0] > '7' {
		return b, false
	}
	var hi, lo uint64
	for i := range len(text) {
		v := strings.IndexByte(crockford, text[i])
		if v < 0 {
			return b, false
		}
		hi = hi<<5 | lo>>59
		lo = lo<<5 | uint64(v)
	}
	binary.BigEndian.PutUint64(b[:8], hi)
	binary.BigEndian.PutUint64(b[8:], lo)
	return b, true
}

// IsReference reports whether s has the form of a provider's own reference
// (account, application). A card number has that form too: package validate refuses it.
func IsReference(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !('A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}

// IsTag reports whether s has the form of a provider's word for grouping accounts:
// 1 to 32 lower-case letters, digits, dots, underscores and dashes.
func IsTag(s string) bool {
	return len(s) <= 32 && IsReference(s) && strings.ToLower(s) == s
}
