package onboard

import (
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/validate"
)

// claimed are the facts that claims alone give. subjects is parallel to c.Subjects.
func claimed(c *validate.Checked, subjects []*muster.SubjectRecord, claims muster.ClaimsRef) *muster.Facts {
	f := &muster.Facts{
		Format: muster.FactsFormat, Claims: claims, Ownership: c.Ownership, Absent: c.Absent, Editions: c.Editions,
	}
	app := c.Application
	if app.Parent != nil {
		f.Application.Relation = app.Parent.Relation
	}
	if p := app.Payment; p != nil {
		f.Payment = muster.PaymentFacts{Means: p.Means, Country: p.Country, Network: c.Normal.Payment.Network}
	}
	if app.Access != nil {
		f.Access = muster.AccessFacts{Country: c.AccessCountry, Time: muster.Instant(app.Access.Time)}
	}
	if app.Request != nil {
		f.Request.Products = app.Request.Products
	}
	if app.Notice != nil {
		f.Notice = muster.NoticeFacts{Shown: true, Version: app.Notice.Version}
	}
	for i, s := range c.Subjects {
		f.Subjects = append(f.Subjects, muster.SubjectFacts{
			ID: subjects[i].ID, Role: s.Role, Pointer: s.Pointer, Kind: s.Kind, Absent: s.Absent, Country: s.Country, Area: s.Area,
			Nationalities: s.Nationalities, Formation: s.Formation, USPersonClaim: s.USPersonClaim,
			Revision: subjects[i].Revision, Share: s.Share, Control: s.Control, Terminal: s.Terminal,
		})
	}
	return f
}

// settle completes facts with what is not a claim: time, states, evidence.
func (f *file) settle(facts *muster.Facts, event, mode string, at time.Time) {
	facts.At, facts.Mode, facts.Event = at, mode, event
	facts.About = muster.Ref{Kind: "application", ID: f.app.ID}
	facts.Application.State = f.app.State
	facts.Application.Received = f.app.Received
	facts.Application.Parent = f.parentState
	facts.Account = muster.AccountFacts{State: f.account.State, Opened: f.account.Opened, InterimSince: f.account.InterimSince}
	byID := map[string]*muster.SubjectRecord{}
	for _, s := range f.subjects {
		byID[s.ID] = s
	}
	for i := range facts.Subjects {
		s := &facts.Subjects[i]
		s.Evidence = nil
		record := byID[s.ID]
		if record == nil {
			continue
		}
		s.Revision = record.Revision
		for _, e := range f.evidence {
			if e.Subject != s.ID {
				continue
			}
			if current, ok := stillCounts(e.Evidence, record); ok {
				s.Evidence = append(s.Evidence, current)
			}
		}
	}
}

// stillCounts cuts evidence down to what speaks of the claims as they are now. A
// changed name voids all but control of a mailbox or telephone: papers were
// somebody's of the old name. A resolution was made on the whole file, so any
// change of claims voids it.
func stillCounts(e muster.Evidence, s *muster.SubjectRecord) (muster.Evidence, bool) {
	if e.Revision == s.Revision {
		return e, true
	}
	if e.Kind == muster.Resolution {
		return e, false
	}
	renamed := s.Changed[muster.AttrName] > e.Revision
	kept := map[string]muster.Finding{}
	for attribute, finding := range e.Attributes {
		contact := attribute == muster.AttrEmail || attribute == muster.AttrPhone
		if s.Changed[attribute] > e.Revision || renamed && !contact {
			continue
		}
		kept[attribute] = finding
	}
	shows := map[string][]muster.Country{}
	for attribute, countries := range e.Shows {
		if s.Changed[attribute] <= e.Revision && !renamed {
			shows[attribute] = countries
		}
	}
	e.Attributes, e.Shows, e.Revision = kept, shows, s.Revision
	return e, len(kept)+len(shows) > 0
}
