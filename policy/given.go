package policy

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/muster-cip/muster"
)

// Given is facts in the short form of examples. What is absent is ordinary: an
// individual, received in production on 2 November 2026, notice shown.
type Given struct {
	Customer    GivenParty       `yaml:"customer"`
	Owners      []GivenParty     `yaml:"owners,omitempty"`
	Signatories []GivenParty     `yaml:"signatories,omitempty"`
	OpenChains  []string         `yaml:"open_chains,omitempty"` // pointers
	Payment     GivenPayment     `yaml:"payment,omitempty"`
	Access      muster.Country   `yaml:"access,omitempty"`
	Lists       map[string]int   `yaml:"lists,omitempty"` // watch lists that were looked at, by age in days; absent: those of the candidates, of today
	Products    []string         `yaml:"products,omitempty"`
	Absent      []string         `yaml:"absent,omitempty"`
	NoNotice    bool             `yaml:"no_notice,omitempty"`
	Counts      map[string]int64 `yaml:"counts,omitempty"`
	Relation    muster.Relation  `yaml:"relation,omitempty"`
	Parent      string           `yaml:"parent,omitempty"`
	State       string           `yaml:"state,omitempty"`
	Account     string           `yaml:"account,omitempty"`
	InterimDays int              `yaml:"interim_days,omitempty"`
	Event       string           `yaml:"event,omitempty"`
	At          string           `yaml:"at,omitempty"` // RFC 3339
	Measures    []GivenMeasure   `yaml:"measures,omitempty"`
}

// GivenMeasure is a special measure that matches, in short form.
type GivenMeasure struct {
	ID          string               `yaml:"id"`
	Measure     muster.MeasureAction `yaml:"measure,omitempty"` // default prohibit
	Phase       string               `yaml:"phase,omitempty"`   // default in_force
	By          []string             `yaml:"by,omitempty"`
	Limits      muster.Limits        `yaml:"limits,omitempty"`
	Verify      []string             `yaml:"verify,omitempty"`
	Obligations []string             `yaml:"obligations,omitempty"`
}

// GivenParty is one subject in short form.
type GivenParty struct {
	Kind          muster.PartyKind `yaml:"kind,omitempty"`
	Pointer       string           `yaml:"pointer,omitempty"`
	Country       muster.Country   `yaml:"country,omitempty"`
	Nationalities []muster.Country `yaml:"nationalities,omitempty"`
	Formation     muster.Country   `yaml:"formation,omitempty"`
	Claim         string           `yaml:"claim,omitempty"`
	Share         string           `yaml:"share,omitempty"`
	Control       bool             `yaml:"control,omitempty"`
	Absent        []string         `yaml:"absent,omitempty"`
	Revision      int              `yaml:"revision,omitempty"`
	Evidence      []GivenEvidence  `yaml:"evidence,omitempty"`
	Candidates    []GivenCandidate `yaml:"candidates,omitempty"`
}

// GivenCandidate is an entry of a watch list that the party came close to.
type GivenCandidate struct {
	List  string          `yaml:"list"`
	Entry string          `yaml:"entry,omitempty"`
	Score float64         `yaml:"score,omitempty"`
	Exact string          `yaml:"exact,omitempty"` // kind of the identifier that is the same
	Found muster.HitState `yaml:"found,omitempty"` // "true" or "false": a person's finding
}

// GivenPayment is the means of payment in short form.
type GivenPayment struct {
	Means   string         `yaml:"means,omitempty"`
	Country muster.Country `yaml:"country,omitempty"`
	Network string         `yaml:"network,omitempty"`

	Candidates []GivenCandidate `yaml:"candidates,omitempty"` // of the payer's name
}

// GivenEvidence is one piece of evidence in short form. Method resolution is a
// person's finding on Rules.
type GivenEvidence struct {
	Method      string                      `yaml:"method"`
	Supports    []string                    `yaml:"supports,omitempty"`
	Contradicts []string                    `yaml:"contradicts,omitempty"`
	Open        []string                    `yaml:"open,omitempty"`
	Shows       map[string][]muster.Country `yaml:"shows,omitempty"`
	Rules       []string                    `yaml:"rules,omitempty"`
	Assurance   muster.Assurance            `yaml:"assurance,omitempty"`
	DaysAgo     int                         `yaml:"days_ago,omitempty"`
	Expires     string                      `yaml:"expires,omitempty"` // RFC 3339
	Revision    int                         `yaml:"revision,omitempty"`
}

// Facts writes the short form out.
func (g *Given) Facts() (*muster.Facts, error) {
	at := time.Date(2026, 11, 2, 9, 15, 0, 0, time.UTC)
	if g.At != "" {
		var err error
		if at, err = time.Parse(time.RFC3339, g.At); err != nil {
			return nil, fmt.Errorf("at is no time")
		}
	}
	f := &muster.Facts{
		Format: muster.FactsFormat, At: at, Mode: muster.ModeProduction, Event: or(g.Event, "received"),
		About:       muster.Ref{Kind: "application", ID: "app_example"},
		Claims:      muster.ClaimsRef{Revision: 1},
		Application: muster.ApplicationFacts{State: or(g.State, muster.AppReceived), Received: at, Relation: g.Relation, Parent: g.Parent},
		Account:     muster.AccountFacts{State: or(g.Account, muster.AccPending)},
		Payment:     muster.PaymentFacts{Means: or(g.Payment.Means, "card"), Country: g.Payment.Country, Network: g.Payment.Network},
		Access:      muster.AccessFacts{Country: g.Access, Time: at},
		Request:     muster.RequestFacts{Products: g.Products},
		Notice:      muster.NoticeFacts{Shown: !g.NoNotice, Version: "2026-11"},
		Absent:      g.Absent, Counts: g.Counts,
	}
	if g.NoNotice {
		f.Notice.Version = ""
	}
	if g.InterimDays > 0 {
		f.Account.InterimSince = at.AddDate(0, 0, -g.InterimDays)
	}
	f.Ownership.Open = g.OpenChains
	if len(g.Payment.Candidates) > 0 {
		f.Payment.Screening, f.Payment.Hits = g.screening(g.Payment.Candidates, at)
	}
	add := func(p GivenParty, role muster.SubjectRole, pointer, id string) error {
		s := muster.SubjectFacts{
			ID: id, Role: role, Pointer: or(p.Pointer, pointer), Kind: p.Kind, Absent: p.Absent, Country: p.Country,
			Nationalities: p.Nationalities, Formation: p.Formation, USPersonClaim: p.Claim, Revision: max(1, p.Revision), Control: p.Control,
		}
		if s.Kind == "" {
			s.Kind = muster.Individual
		}
		s.Terminal = role == muster.RoleOwner && s.Kind == muster.Individual
		if p.Share != "" {
			share, err := muster.ParsePercent(p.Share)
			if err != nil {
				return err
			}
			s.Share = share
			if s.Terminal {
				f.Ownership.Stated += share
			}
		}
		for i, e := range p.Evidence {
			x, err := e.evidence(id, i, at, s.Revision)
			if err != nil {
				return err
			}
			s.Evidence = append(s.Evidence, x)
		}
		if len(p.Candidates)+len(g.Lists) > 0 {
			s.Screening, s.Hits = g.screening(p.Candidates, at)
		}
		f.Subjects = append(f.Subjects, s)
		return nil
	}
	if err := add(g.Customer, muster.RoleCustomer, "/customer", "sub_customer"); err != nil {
		return nil, err
	}
	for i, p := range g.Owners {
		if err := add(p, muster.RoleOwner, fmt.Sprintf("/beneficial_owners/%d", i), fmt.Sprintf("sub_owner%d", i)); err != nil {
			return nil, err
		}
	}
	for i, p := range g.Signatories {
		if err := add(p, muster.RoleSignatory, fmt.Sprintf("/signatories/%d", i), fmt.Sprintf("sub_signatory%d", i)); err != nil {
			return nil, err
		}
	}
	for _, m := range g.Measures {
		f.Measures = append(f.Measures, muster.MeasureFact{
			ID: m.ID, Measure: muster.MeasureAction(or(string(m.Measure), string(muster.MeasureProhibit))), Phase: or(m.Phase, muster.PhaseInForce), By: m.By,
			From: at.AddDate(0, 0, -1), Until: at.AddDate(0, 0, 90), Citation: "example", Status: InForce, Customer: "An example of a measure.",
			Conditions: muster.MeasureTerms{Limits: m.Limits, Verify: m.Verify, Obligations: m.Obligations},
		})
	}
	if g.Customer.Kind == muster.Entity {
		f.Ownership.Unknown = max(0, muster.WholePercent-f.Ownership.Stated)
	}
	return f, nil
}

// screening writes candidates out. Who has none was screened all the same where
// the example names lists.
func (g *Given) screening(in []GivenCandidate, at time.Time) (*muster.Screening, []muster.HitFacts) {
	s := &muster.Screening{Matcher: 1, Floor: 0.1}
	var hits []muster.HitFacts
	ages := map[string]int{}
	for i, c := range in {
		ages[c.List] = 0
		x := muster.Candidate{List: c.List, Entry: or(c.Entry, fmt.Sprint(i+1)), Score: c.Score, Name: c.Score, Exact: c.Exact}
		s.Candidates = append(s.Candidates, x)
		if c.Found != "" {
			hits = append(hits, muster.HitFacts{Hit: fmt.Sprintf("hit_example%d", i), List: x.List, Entry: x.Entry, State: c.Found})
		}
	}
	maps.Copy(ages, g.Lists)
	for _, list := range slices.Sorted(maps.Keys(ages)) {
		s.Lists = append(s.Lists, muster.ListRef{List: list, Digest: "example", AsOf: at.AddDate(0, 0, -ages[list])})
	}
	return s, hits
}

func (e GivenEvidence) evidence(subject string, i int, at time.Time, revision int) (muster.Evidence, error) {
	x := muster.Evidence{
		ID: fmt.Sprintf("evd_%s_%d", subject, i), Subject: subject, Method: e.Method, Kind: muster.NonDocumentary,
		Revision: revision, Attributes: map[string]muster.Finding{}, Shows: e.Shows, Rules: e.Rules, Assurance: e.Assurance,
		At: at.Add(-time.Minute).AddDate(0, 0, -e.DaysAgo), Producer: "opr_example",
	}
	if e.Method == string(muster.Resolution) {
		x.Kind = muster.Resolution
	}
	if e.Revision > 0 {
		x.Revision = e.Revision
	}
	if x.Assurance == "" {
		x.Assurance = muster.AssuranceSubstantial
	}
	if e.Expires != "" {
		var err error
		if x.Expires, err = time.Parse(time.RFC3339, e.Expires); err != nil {
			return x, fmt.Errorf("expires is no time")
		}
	}
	for finding, list := range map[muster.Finding][]string{muster.Supports: e.Supports, muster.Contradicts: e.Contradicts, muster.Open: e.Open} {
		for _, a := range list {
			x.Attributes[a] = finding
		}
	}
	return x, nil
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
