package muster

// FileRecord is everything on one customer's file as it lies in the store: what is
// sealed is sealed.
type FileRecord struct {
	Customer     *CustomerRecord
	Accounts     []*AccountRecord           // oldest first
	Adopted      []*AdoptedRecord           // in the order of Accounts
	Matches      []MatchRecord              // likewise, of each account by determination
	Applications []*ApplicationRecord       // oldest first
	Subjects     []*SubjectRecord           // in the order in which they were made
	Claims       map[string][]*ClaimsRecord // by subject, oldest first
	Evidence     []*EvidenceRecord          // oldest first
	Decisions    []*DecisionRecord          // oldest first; Leaf is not filled
	Reviews      []*ReviewRecord            // oldest first
	Hits         []*HitRecord               // oldest first
}
