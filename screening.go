package muster

// ScreeningQuery is one person or thing to compare with the watch lists. All of
// it is personal data: it lives in memory while it is compared, and is not kept.
type ScreeningQuery struct {
	Names       []string           // spellings of one name: full, native, others
	Kind        ListedKind         // "" where not known
	Births      []PartialDate      // of an individual; the date of formation of an entity
	Countries   []Country          // of address and formation
	Nations     []Country          // nationalities
	Identifiers []ListedIdentifier // exact look-ups
}

// Candidate is one list entry that a query came close to, in numbers: no name and
// no value of the query is in it. Facts keep the ten best.
type Candidate struct {
	List    string     `json:"list"`
	Entry   string     `json:"entry"`
	Kind    ListedKind `json:"kind,omitempty"`
	Score   float64    `json:"score"`             // 0..1: the name, and what else agreed or disagreed
	Name    float64    `json:"name"`              // 0..1: the name alone
	Matched int        `json:"matched"`           // index into the entry's names
	Weak    bool       `json:"weak,omitempty"`    // that name is weak by its publisher's word
	Exact   string     `json:"exact,omitempty"`   // kind of the identifier that is the same; "" where none is
	Grounds []Ground   `json:"grounds,omitempty"` // what else was compared
}

// Ground is one thing besides the name that was compared, and what it did to the score.
type Ground struct {
	Field  string  `json:"field"` // birth, country, nation, kind, identifier, gender
	Agrees bool    `json:"agrees"`
	Effect float64 `json:"effect"` // added to the score
}

// Screening is the screening of one subject (or of a payer's name): what facts hold.
type Screening struct {
	Lists      []ListRef   `json:"lists"`   // against which
	Matcher    int         `json:"matcher"` // version of package screen
	Floor      float64     `json:"floor"`   // candidates below it were not kept
	Candidates []Candidate `json:"candidates,omitempty"`
}
