package onboard

import (
	"strings"

	"github.com/muster-cip/muster"
)

// MagicDomain is the mail domain whose addresses choose an outcome in a sandbox:
// refuse@sandbox.muster.example. In production the address is an address.
const MagicDomain = "@sandbox.muster.example"

// magic is the outcome that a sandbox application asks to see, "" for none.
func magic(email string) string {
	local, ok := strings.CutSuffix(strings.ToLower(email), MagicDomain)
	if !ok {
		return ""
	}
	local, _, _ = strings.Cut(local, "+") // open+1@, open+2@: distinct addresses
	if muster.Outcome(local).Severity() < 0 {
		return ""
	}
	return local
}
