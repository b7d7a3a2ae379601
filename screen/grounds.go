package screen

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/muster-cip/muster"
)

// most is how much the other fields of a query can add.
func (w *Weights) most(q *muster.ScreeningQuery) (m float64) {
	if q.Kind != "" {
		m += max(0, w.KindDiffers)
	}
	if len(q.Births) > 0 {
		m += max(0, w.BirthAgrees, w.BirthYear, w.BirthDisagrees)
	}
	if len(q.Nations) > 0 {
		m += max(0, w.NationAgrees, w.NationDiffers)
	}
	if len(q.Countries) > 0 {
		m += max(0, w.CountryAgrees)
	}
	return m
}

// candidate adds to a name's score what else agrees or disagrees.
func (x *Index) candidate(q *muster.ScreeningQuery, w *Weights, b scored, exact []exactHit) muster.Candidate {
	e := &x.entries[b.entry]
	c := muster.Candidate{List: e.List, Entry: e.ID, Kind: e.Kind, Name: round(float64(b.score))}
	score := float64(b.score)
	if b.score > 0 {
		n := &x.names[b.name]
		c.Matched, c.Weak = int(n.index), n.weak
		if n.weak {
			score *= w.WeakName
		}
	}
	ground := func(field string, agrees bool, effect float64) {
		c.Grounds = append(c.Grounds, muster.Ground{Field: field, Agrees: agrees, Effect: round(effect)})
		score += effect
	}
	if q.Kind != "" && e.Kind != "" && q.Kind != e.Kind {
		ground("kind", false, w.KindDiffers)
	}
	switch births(q.Births, e.Births) {
	case sameDay:
		ground("birth", true, w.BirthAgrees)
	case sameYear:
		ground("birth", true, w.BirthYear)
	case otherYear:
		ground("birth", false, w.BirthDisagrees)
	case notCompared, nearYear:
	}
	if len(q.Nations) > 0 && len(e.Nations) > 0 {
		if meet(q.Nations, e.Nations) {
			ground("nation", true, w.NationAgrees)
		} else {
			ground("nation", false, w.NationDiffers)
		}
	}
	if slices.ContainsFunc(e.Addresses, func(a muster.ListedAddress) bool {
		return a.Country != "" && slices.Contains(q.Countries, a.Country)
	}) {
		ground("country", true, w.CountryAgrees)
	}
	score = min(1, max(0, score))
	for _, f := range exact {
		if f.entry == b.entry {
			c.Exact = f.kind
			if w.Identifier > score {
				ground("identifier", true, w.Identifier-score)
				score = w.Identifier
			} else {
				ground("identifier", true, 0)
			}
			break
		}
	}
	c.Score = round(min(1, max(0, score)))
	return c
}

// round keeps what is written of a score the same on every machine.
func round(v float64) float64 {
	return float64(int64(v*roundTo+0.5*sign(v))) / roundTo
}

const roundTo = 1e4

func sign(v float64) float64 {
	if v < 0 {
		return -1
	}
	return 1
}

func meet(a, b []muster.Country) bool {
	return slices.ContainsFunc(a, func(c muster.Country) bool { return slices.Contains(b, c) })
}

type birthAgreement uint8

const (
	notCompared birthAgreement = iota
	otherYear
	nearYear // one year apart, or about: it says nothing
	sameYear
	sameDay
)

// births compares every date of one side with every date of the other; the best counts.
func births(a, b []muster.PartialDate) birthAgreement {
	best := notCompared
	for _, x := range a {
		for _, y := range b {
			best = max(best, birth(x, y))
		}
	}
	return best
}

func birth(a, b muster.PartialDate) birthAgreement {
	if a.IsZero() || b.IsZero() {
		return notCompared
	}
	from, to := a.Year, max(a.Year, a.Until)
	otherFrom, otherTo := b.Year, max(b.Year, b.Until)
	slack := 1
	if a.About || b.About {
		slack = 3
	}
	switch {
	case from > otherTo+slack || otherFrom > to+slack:
		return otherYear
	case from > otherTo || otherFrom > to:
		return nearYear
	}
	if a.Until == 0 && b.Until == 0 && a.Month != 0 && b.Month != 0 && a.Day != 0 && b.Day != 0 {
		if a.Month == b.Month && a.Day == b.Day {
			return sameDay
		}
		// Many births are known as the first of January.
		if a.Month == 1 && a.Day == 1 || b.Month == 1 && b.Day == 1 || a.Month == b.Day && a.Day == b.Month {
			return sameYear
		}
		return nearYear
	}
	return sameYear
}

// ident is one identifier of one entry.
type ident struct {
	entry   int32
	kind    string
	country muster.Country
}

type ipRange struct {
	prefix netip.Prefix
	entry  int32
}

type exactHit struct {
	entry int32
	kind  string
}

// fold makes two writings of one identifier the same.
func foldIdentifier(kind, value string) string {
	if len(value) > 512 {
		value = value[:512]
	}
	switch kind {
	case muster.IdentWallet, muster.IdentDocument:
		return strings.TrimSpace(value) // Bitcoin addresses tell case apart
	case muster.IdentEmail, muster.IdentMailDomain, muster.IdentWebsite:
		return strings.TrimSuffix(strings.ToLower(strings.TrimSpace(value)), ".")
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r > 127:
			return r
		}
		return -1
	}, value)
}

// shortest is how long an identifier has to be to be one: "1" is nobody's.
const shortest = 4

func (x *Index) indexIdentifiers() {
	x.idents = map[string][]ident{}
	for i := range x.entries {
		for _, d := range x.entries[i].Identifiers {
			if d.Kind == muster.IdentIPRange {
				if p, err := netip.ParsePrefix(strings.TrimSpace(d.Value)); err == nil {
					x.ranges = append(x.ranges, ipRange{p.Masked(), int32(i)})
				}
				continue
			}
			v := foldIdentifier(d.Kind, d.Value)
			if len(v) < shortest {
				continue
			}
			if d.Kind == muster.IdentWallet && strings.HasPrefix(v, "0x") {
				v = strings.ToLower(v)
			}
			x.idents[v] = append(x.idents[v], ident{int32(i), d.Kind, d.Country})
		}
	}
	slices.SortFunc(x.ranges, func(a, b ipRange) int { return a.prefix.Addr().Compare(b.prefix.Addr()) })
}

// lookUp finds entries that hold an identifier of the query.
func (x *Index) lookUp(q *muster.ScreeningQuery) []exactHit {
	var out []exactHit
	add := func(entry int32, kind string) {
		if !slices.ContainsFunc(out, func(h exactHit) bool { return h.entry == entry }) && len(out) < mostLimit {
			out = append(out, exactHit{entry, kind})
		}
	}
	for _, d := range q.Identifiers {
		if d.Kind == muster.IdentIPRange {
			x.lookUpAddress(d.Value, add)
			continue
		}
		v := foldIdentifier(d.Kind, d.Value)
		if d.Kind == muster.IdentWallet && strings.HasPrefix(strings.ToLower(v), "0x") {
			v = strings.ToLower(v)
		}
		for _, f := range x.idents[v] {
			if sameKind(d.Kind, f.kind) && (d.Country == "" || f.country == "" || d.Country == f.country) {
				add(f.entry, f.kind)
			}
		}
		// A mail address is of its domain, and of the domains above it.
		if d.Kind == muster.IdentEmail || d.Kind == muster.IdentMailDomain {
			_, domain, ok := strings.Cut(v, "@")
			if !ok {
				domain = v
			}
			for domain != "" {
				for _, f := range x.idents[domain] {
					if f.kind == muster.IdentMailDomain {
						add(f.entry, f.kind)
					}
				}
				_, domain, _ = strings.Cut(domain, ".")
			}
		}
	}
	return out
}

// lookUpAddress finds the listed ranges that hold an address, or a whole range.
func (x *Index) lookUpAddress(value string, add func(int32, string)) {
	if len(x.ranges) == 0 {
		return
	}
	value = strings.TrimSpace(value)
	p, err := netip.ParsePrefix(value)
	if err != nil {
		a, err := netip.ParseAddr(value)
		if err != nil {
			return
		}
		a = a.Unmap()
		p = netip.PrefixFrom(a, a.BitLen())
	}
	for _, r := range x.ranges {
		if r.prefix.Bits() <= p.Bits() && r.prefix.Contains(p.Addr()) {
			add(r.entry, muster.IdentIPRange)
		}
	}
}

// sameKind reports kinds of identifier that may hold one number: publishers do not
// tell passport, identity card and tax number apart reliably.
func sameKind(a, b string) bool {
	if a == b || a == muster.IdentOther || b == muster.IdentOther || a == "" {
		return true
	}
	return papers(a) && papers(b)
}

func papers(kind string) bool {
	return kind == muster.IdentPassport || kind == muster.IdentNationalID || kind == muster.IdentRegistration
}
