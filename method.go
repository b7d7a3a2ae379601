package muster

// Method is a row of the table of methods: a way of verification and what its
// evidence can speak of. What each is worth, and where it is asked for, is said
// by policy packs.
type Method struct {
	Name        string       `json:"name"` // contact.email, document.manual, ...
	Kind        EvidenceKind `json:"kind"`
	Attributes  []string     `json:"attributes"`  // that its evidence may name; a subset of Attributes
	Interactive bool         `json:"interactive"` // true: the subject answers a challenge; false: staff or a machine record it
	Words       string       `json:"words"`       // one sentence for the person who chooses it
}
