package muster

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

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
	Lists      []ListRef   `json:"lists"`             // against which
	Matcher    int         `json:"matcher"`           // version of package screen
	Weights    string      `json:"weights,omitempty"` // of the packs that asked for it, see WeightsText; "": the matcher's own
	Floor      float64     `json:"floor"`             // candidates below it were not kept
	Candidates []Candidate `json:"candidates,omitempty"`
}

// MaxCandidates is how many candidates of one screening facts keep, best first.
const MaxCandidates = 10

// WeightsText is the one spelling of weights by name: "birth=0.3 country=0.1".
func WeightsText(weights map[string]float64) string {
	list := make([]string, 0, len(weights))
	for name, w := range weights {
		list = append(list, name+"="+strconv.FormatFloat(w, 'g', -1, 64))
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// ParsePartialDate reads YYYY, YYYY-MM or YYYY-MM-DD.
func ParsePartialDate(s string) (d PartialDate, ok bool) {
	for _, layout := range []string{"2006", "2006-01", time.DateOnly} {
		t, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		d = PartialDate{Year: t.Year()}
		if len(s) > 4 {
			d.Month = int(t.Month())
		}
		if len(s) > 7 {
			d.Day = t.Day()
		}
		return d, t.Year() > 0
	}
	return d, false
}

// HitState is where a hit stands.
type HitState string

const (
	HitOpen  HitState = "open"
	HitTrue  HitState = "true"  // a person found that it is them
	HitFalse HitState = "false" // a person found that it is somebody else: suppressed for this pair
	HitMoot  HitState = "moot"  // the entry left its list, or the claims that met it were corrected, before anybody looked
)

// HitStates lists them all.
var HitStates = []HitState{HitOpen, HitTrue, HitFalse, HitMoot}

// What was screened.
const (
	HitOfSubject = "subject" // somebody on the file
	HitOfPayer   = "payer"   // the name behind the means of payment
)

// HitFacts is what a person found of one pair of somebody on file and an entry of
// a list, as far as it still stands: true or false. What nobody resolved is a
// candidate without one.
type HitFacts struct {
	Hit   string   `json:"hit"` // id
	List  string   `json:"list"`
	Entry string   `json:"entry"`
	State HitState `json:"state"`
}
