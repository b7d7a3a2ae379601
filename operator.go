package muster

// Scope is a permission that a token carries. A route names the one it needs.
type Scope string

const (
	ScopeApply      Scope = "applications:write" // post, correct, withdraw applications
	ScopeRead       Scope = "read"               // redacted views, decisions, packs
	ScopeEvidence   Scope = "evidence:write"     // record what was seen
	ScopeReview     Scope = "reviews:write"      // resolve
	ScopeReveal     Scope = "reveal"             // see personal values, with a purpose
	ScopePacks      Scope = "packs:write"        // activate policy packs
	ScopeAccounts   Scope = "accounts:write"     // move accounts
	ScopeWebhooks   Scope = "webhooks:write"
	ScopeOperators  Scope = "operators:write" // operators and tokens
	ScopeMetrics    Scope = "metrics"
	ScopeMeasures   Scope = "measures:write"  // preview, enact, renew, lift and license special measures
	ScopeLists      Scope = "lists:write"     // bring, fetch, approve and roll back watch lists
	ScopeScreen     Scope = "screen"          // compare names with the watch lists
	ScopeGateAsk    Scope = "gate:ask"        // ask the gate about accounts
	ScopeGateFollow Scope = "gate:follow"     // read the gate's snapshots and changes, and nothing else
	ScopeRetain     Scope = "retention:write" // holds and erasures
	ScopeKeys       Scope = "keys:write"      // give keys new versions
	ScopeLedger     Scope = "ledger:write"    // send access records and leases; reads nothing
	ScopeExport     Scope = "export"          // give out everything on file, with a second operator
	ScopeImport     Scope = "import:write"    // bring the existing book in
)

// Scopes lists every scope, for tables and tests.
var Scopes = []Scope{
	ScopeApply, ScopeRead, ScopeEvidence, ScopeReview, ScopeReveal, ScopePacks, ScopeAccounts, ScopeWebhooks,
	ScopeOperators, ScopeMetrics, ScopeLedger, ScopeImport, ScopeExport, ScopeRetain, ScopeMeasures, ScopeLists, ScopeScreen, ScopeGateAsk, ScopeGateFollow,
	ScopeKeys,
}

// Principal is who calls: an operator through one of their tokens. Two tokens
// of one operator are one person.
type Principal struct {
	Operator string
	Token    string
	Scopes   []Scope
}

// May reports whether p carries s.
func (p Principal) May(s Scope) bool {
	for _, x := range p.Scopes {
		if x == s {
			return true
		}
	}
	return false
}
