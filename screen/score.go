package screen

import (
	"math"

	"github.com/muster-cip/muster/match"
)

// How a name is scored: as evidence for and against, in log-odds, summed and turned
// into a score between 0 and 1. Every word weighs what it tells (vocabulary.go). The
// factors below were fitted on queries made from two snapshots of the OFAC list with
// seeds that the bench does not report on (docs/decisions/0026).
//
// What they say, in words:
//   - What matched counts for, the more so the rarer it is. The rarest word alone is
//     little: relatives and namesakes share it. What else matched is what decides.
//   - What the query says and the name lacks counts much against; what the name has and
//     the query does not say counts less, but for family name and first given name.
//   - A word spelled otherwise costs little where nobody is known to be called so: it is
//     a slip. Where it is a name of its own, it may as well be somebody else.
//   - The same words in the same form are the same name, however common: 1.
const (
	always = 1.43

	perMatched  = 0.185 // each nat that matched, up to mostMatched
	mostMatched = 25
	thin        = -0.37 // little matched at all
	thinOver    = 2.00
	firmThin    = 2.02 // less so for firms
	firmOver    = 6.0

	querySide   = -2.55 // the share of the query that met nothing
	perQuery    = -0.43 // each nat of it
	eachQuery   = -3.01 // each word of it that tells something
	addedMiddle = 0.44  // of these, where a middle name stands that the list does not know
	addedFather = 0.15  // or a name after the father
	nameSide    = -0.93 // the same of the name
	perName     = -0.16
	eachName    = -2.00
	eachMiddle  = 0.05
	eachSecond  = -1.50 // a second family name
	nameThin    = -0.23 // where besides the rarest word little matched
	noFamily    = -4.0
	noGiven     = 0.15
	tells       = 1.25 // nats from which a word tells something
	firmTells   = 3.4  // of a firm's name: what is short may be a legal form mistyped
	restOver    = 3.0
	oneInitial  = 1.6   // a letter for a word
	listInitial = 1.00  // where the list has the letter
	firmInitial = -0.20 // and of a firm's name
	titled      = 0.8   // a title beside a person's name that is the same
	letterOf    = 0.21  // share of a word's weight that its first letter does not say

	inexact     = -0.30
	inexactThin = 0.15
	inexactOne  = -0.24 // the name is one word
	slipShare   = -4.0  // slips by letters
	otherName   = -0.83 // each word that is known as a name of its own
	otherSlip   = -2.61 // each slip in it
	otherRest   = -0.26
	otherThin   = -0.71
	variant     = 0.93 // similarity from which two known names are spellings of one
	variantOf   = 0.4
	spelling    = 0.96 // and from which they surely are
	spellingOf  = 0.2
	strange     = 0.5 // each word that nobody is known by
	strangeSlip = 0.5

	misordered = -0.1
	spread     = 2.0 // of the log-odds over the score

	// What a word with slips in it still tells: no more than its letters can.
	natsALetter   = 2.3
	natsASlip     = 2.0
	natsOtherSlip = 5.0
	natsInitial   = 1.2
	natsShort     = 1.1 // a letter of a word of three letters or less that no list has

	same        = 0.999 // similarity from which two words are one
	bestInexact = 0.995
	slack       = 0.8 // by which a name may come out better than its bound
)

// aligner is the memory of one alignment.
type aligner struct {
	pairs []aligned
	taken [match.MaxWords]bool // words of the query that met something
	have  [match.MaxWords]bool // and of the name
}

// aligned says which words of the query met which of the name.
type aligned struct {
	q, qn int
	t, tn int
	sim   float32
	how   string // same | alike | joined | initial
}

// align pairs words of the query with words of a name, the most telling pair first.
func (x *Index) align(s *scratch, nameID uint32) {
	n := &x.names[nameID]
	ts := x.tokens[n.tokens : n.tokens+uint32(n.n)]
	a := &s.align
	a.pairs = a.pairs[:0]
	clear(a.taken[:len(s.words)])
	clear(a.have[:len(ts)])
	for {
		best, bestValue := int32(-1), float32(0)
		for r := s.boards[nameID].head; r >= 0; r = s.records[r].next {
			rec := &s.records[r]
			u := &s.units[rec.unit]
			if overlaps(a.taken[u.at:u.at+u.n]) || overlaps(a.have[rec.at:rec.at+rec.n]) {
				continue
			}
			var w float32
			for i := u.at; i < u.at+u.n; i++ {
				w += s.words[i].weigh(n.org)
			}
			for j := rec.at; j < rec.at+rec.n; j++ {
				w += ts[j].weight
			}
			v := gain(rec.sim) * w
			if u.n == 1 && rec.n == 1 && rec.sim >= 0.97 || u.n == 2 && rec.n == 1 && s.cut(u, x.words.text[ts[rec.at].word]) {
				v += 100 // what is the same is not joined with a neighbour
			}
			if v > bestValue || v == bestValue && x.nearer(s, r, best) {
				best, bestValue = r, v
			}
		}
		if best < 0 {
			break
		}
		rec := &s.records[best]
		u := &s.units[rec.unit]
		rec.sim = min(rec.sim, x.soundsOnly(s, rec, u, ts, n.org))
		how := "alike"
		switch {
		case u.n > 1 || rec.n > 1:
			how = "joined"
		case rec.sim >= same:
			how = "same"
		}
		a.pair(aligned{int(u.at), int(u.n), int(rec.at), int(rec.n), rec.sim, how})
	}
	x.initials(s, ts, n.org)
	x.leftOver(s, ts, n.org)
}

// leftOver pairs the one word of the query that met nothing with the one word of the
// name, where two slips part them at most: in a short word these are too many to be
// looked for in the whole vocabulary, but beside a name that agrees they are not.
func (x *Index) leftOver(s *scratch, ts []token, org bool) {
	a := &s.align
	if len(a.pairs) == 0 {
		return
	}
	q, t := -1, -1
	for i := range s.words {
		if w := &s.words[i]; !a.taken[i] && !w.bare(org) {
			if q >= 0 || !w.mistyped() {
				return
			}
			q = i
		}
	}
	for j := range ts {
		if !a.have[j] && !bare(ts[j].class) {
			if t >= 0 && ts[j].role != roleMiddle {
				if ts[t].role != roleMiddle {
					return
				}
				t = j
			} else if t < 0 {
				t = j
			}
		}
	}
	if q < 0 || t < 0 || ts[t].class != match.Plain {
		return
	}
	text, other := s.words[q].Text, x.words.text[ts[t].word]
	if len(other) < minLeftOver || len(other) > maxLeftOver {
		return
	}
	slips := match.Slips(text, other, 2)
	if slips > 2 || slips == 2 && len(other) < 4 {
		return
	}
	a.pair(aligned{q, 1, t, 1, 1 - 0.85*float32(slips)/float32(len(other)), "alike"})
}

// mistyped reports a short word that nobody is known by, and that no word of the lists is
// near enough to.
func (w *word) mistyped() bool {
	return !w.known && !w.Native && w.Sound == nil && w.Class == match.Plain && len(w.Text) >= minLeftOver && len(w.Text) <= maxLeftOver
}

const (
	minLeftOver = 3
	maxLeftOver = 7
)

// cut reports that two words of the query are one word with a space in it, of which one
// half is a word by chance: "Comm ercial".
func (s *scratch) cut(u *unit, text string) bool {
	a, b := s.words[u.at].Text, s.words[u.at+1].Text
	return len(a) > 1 && len(b) > 1 && len(a)+len(b) == len(text) && text[:len(a)] == a && text[len(a):] == b
}

// nearer reports whether the words of a record stand nearer to each other's place than
// those of another.
func (x *Index) nearer(s *scratch, r, than int32) bool {
	a, b := &s.records[r], &s.records[than]
	da, db := int(s.units[a.unit].at)-int(a.at), int(s.units[b.unit].at)-int(b.at)
	return max(da, -da) < max(db, -db)
}

// soundsOnly is the most that two words can be alike whose letters differ: in what is
// joined, and in a firm's short word, the same sound is not the same word.
func (x *Index) soundsOnly(s *scratch, rec *record, u *unit, ts []token, org bool) float32 {
	if u.n > 1 && rec.n == 1 && !s.words[u.at].Native {
		n := 0
		for _, w := range s.words[u.at : u.at+u.n] {
			n += len(surface(w.Word))
		}
		if len(x.words.text[ts[rec.at].word]) != n {
			return mostJoined
		}
	}
	w := &s.words[u.at]
	if org && u.n == 1 && rec.n == 1 && len(w.Text) <= 3 && w.Class == match.Plain && !w.Native && !w.Short && ts[rec.at].class == match.Plain {
		if t := x.words.text[ts[rec.at].word]; len(t) <= 4 && w.Text != t {
			return mostShort
		}
	}
	return 1
}

const (
	mostJoined = 0.96
	mostShort  = 0.9
)

func overlaps(taken []bool) bool {
	for _, t := range taken {
		if t {
			return true
		}
	}
	return false
}

func (a *aligner) pair(p aligned) {
	for i := p.q; i < p.q+p.qn; i++ {
		a.taken[i] = true
	}
	for j := p.t; j < p.t+p.tn; j++ {
		a.have[j] = true
	}
	a.pairs = append(a.pairs, p)
}

// initials pairs what is left: a letter with a word that begins with it.
func (x *Index) initials(s *scratch, ts []token, org bool) {
	a := &s.align
	for i := range s.words {
		if a.taken[i] {
			continue
		}
		w := &s.words[i]
		class := classIn(w.Word, org)
		for j := range ts {
			t := &ts[j]
			if a.have[j] || t.first != w.Text[0] {
				continue
			}
			if class == match.Initial && (t.class == match.Plain || t.class == match.Initial) || t.class == match.Initial && class == match.Plain && !org {
				a.pair(aligned{i, 1, j, 1, 0, "initial"})
				break
			}
		}
	}
}

// evidence is what an alignment says, in log-odds, piece by piece.
type evidence struct {
	total float64
	whole bool // every word met its like
	exact bool // and is the same, where it is not a legal form, title or particle

	matched, rest float64 // nats that matched; without the rarest word
	queryAll      float64
	nameAll       float64
}

// score aligns the query with a name and says how well they agree, 0 to 1. With
// tell, each piece of the evidence is given to it: what, the pair or the word, and its
// log-odds.
func (x *Index) score(s *scratch, nameID uint32, tell func(piece)) float32 {
	x.align(s, nameID)
	e := x.weigh(s, nameID, tell)
	if e.queryAll <= 0 || e.nameAll <= 0 || len(s.align.pairs) == 0 {
		return 0
	}
	disorder := s.align.disorder(x.names[nameID].org)
	if e.exact && e.whole {
		if disorder {
			return bestInexact
		}
		return 1
	}
	if disorder {
		e.total += misordered
	}
	return float32(min(bestInexact, ScoreOf(e.total)))
}

// patronymic reports a Slavic name after the father.
func patronymic(s string) bool {
	for _, end := range []string{"ovich", "evich", "ovna", "evna", "ivna", "ichna", "ovych", "evych"} {
		if len(s) > len(end)+2 && s[len(s)-len(end):] == end {
			return true
		}
	}
	return false
}

// bare words do not make a name another one.
func bare(c match.Class) bool {
	return c == match.Legal || c == match.Title || c == match.Particle
}

// bare reports a word of the query that may stand beside a name and change nothing: in
// a firm's name also a single letter, which may belong to a form of law.
func (w *word) bare(org bool) bool {
	c := classIn(w.Word, org)
	return bare(c) || org && (w.formal || c == match.Initial)
}

// piece is a part of the evidence, for an explanation.
type piece struct {
	what  string // base | pair | query | name
	at    int    // of the pair, or the word
	odds  float64
	share float64 // of the weight of its side
}

func (x *Index) weigh(s *scratch, nameID uint32, tell func(piece)) evidence {
	n := &x.names[nameID]
	ts := x.tokens[n.tokens : n.tokens+uint32(n.n)]
	a := &s.align
	e := evidence{whole: true, exact: true}
	for i := range s.words {
		e.queryAll += float64(s.words[i].weigh(n.org))
	}
	for j := range ts {
		e.nameAll += float64(ts[j].weight)
	}
	if e.queryAll <= 0 || e.nameAll <= 0 {
		return e
	}

	// First what matched: how the rest counts depends on it.
	var most, letters float64
	for k := range a.pairs {
		nats, n := x.natsOf(s, ts, &a.pairs[k])
		e.matched += nats
		letters += n
		if a.pairs[k].how != "initial" {
			most = max(most, nats)
		}
	}
	e.rest = max(0, e.matched-most)
	thinly, thinRest, thinFirm := math.Exp(-e.matched/thinOver), math.Exp(-e.rest/restOver), math.Exp(-e.matched/firmOver)

	add := func(p piece) {
		e.total += p.odds
		if tell != nil {
			tell(p)
		}
	}
	var lostName float64 // weight of the name that met nothing
	scale := min(1, mostMatched/max(e.matched, 1))
	for k := range a.pairs {
		p := &a.pairs[k]
		nats, long := x.natsOf(s, ts, p)
		odds := perMatched * nats * scale
		switch {
		case p.how == "initial":
			e.exact = false
			switch {
			case n.org:
				odds += firmInitial
			case s.words[p.q].Class == match.Initial:
				odds += oneInitial
			default:
				odds += listInitial
			}
			lostName += letterOf * float64(ts[p.t].weight)
		case p.sim < same:
			e.exact = false
			slips := slipsOf(p.sim, long)
			odds += slipShare * slips / max(1, letters)
			if p.qn == 1 && s.words[p.q].known {
				other := otherName + slips*(otherSlip+otherRest*thinRest+otherThin*thinFirm)
				switch {
				case p.sim >= spelling:
					other *= spellingOf
				case p.sim >= variant:
					other *= variantOf
				}
				odds += other
			} else {
				odds += strange + strangeSlip*slips
			}
		}
		add(piece{"pair", k, odds, x.shareOf(s, p, nameID) / e.queryAll})
	}
	complete := !n.org && len(ts) >= 2 // all that the list knows of a person was said
	for j := range ts {
		complete = complete && (a.have[j] || bare(ts[j].class))
	}
	titles := false
	for i := range s.words {
		if a.taken[i] {
			continue
		}
		w := float64(s.words[i].weigh(n.org))
		titles = titles || !n.org && classIn(s.words[i].Word, false) == match.Title
		e.whole = false
		e.exact = e.exact && s.words[i].bare(n.org)
		odds := querySide*w/e.queryAll + perQuery*w
		if w > tells && (!n.org || w > firmTells) {
			odds += eachQuery
		}
		switch {
		case complete && i > 0 && patronymic(s.words[i].Text):
			odds *= addedFather
		case complete && i > 0 && i+1 < len(s.words):
			odds *= addedMiddle
		}
		add(piece{"query", i, odds, w / e.queryAll})
	}
	family, given := false, false
	for j := range ts {
		if a.have[j] {
			continue
		}
		t := &ts[j]
		e.whole = false
		e.exact = e.exact && bare(t.class)
		w := float64(t.weight * t.missed)
		lostName += w
		odds := (nameSide+nameThin*thinRest)*w/e.nameAll + perName*w
		if w > tells {
			switch t.role {
			case roleMiddle:
				odds += eachMiddle
			case roleSecondFamily:
				odds += eachSecond
			case roleAny, roleGiven, roleFamily:
				odds += eachName
			}
		}
		if t.weight > tells && t.role == roleFamily && !family {
			odds, family = odds+noFamily, true
		}
		if t.weight > tells && t.role == roleGiven && !given {
			odds, given = odds+noGiven, true
		}
		add(piece{"name", j, odds, float64(t.weight) / e.nameAll})
	}
	base := always + thin*thinly
	if titles && e.exact {
		base += titled
	}
	if n.org {
		base += firmThin * thinFirm
	}
	for k := range a.pairs { // what an initial leaves unsaid is lost of the name
		if p := &a.pairs[k]; p.how == "initial" {
			w := letterOf * float64(ts[p.t].weight)
			base += (nameSide+nameThin*thinRest)*w/e.nameAll + perName*w
		}
	}
	if !e.exact {
		base += inexact + inexactThin*thinRest
		if n.n == 1 {
			// Two long words are seldom alike by chance.
			base += inexactOne * min(1, 36/(letters*letters+1))
		}
	}
	add(piece{what: "base", odds: base})
	return e
}

// natsOf is what a pair tells, and how many letters it has on the side of the name.
func (x *Index) natsOf(s *scratch, ts []token, p *aligned) (nats, letters float64) {
	if p.how == "initial" {
		return natsInitial, 0
	}
	for j := p.t; j < p.t+p.tn; j++ {
		if ts[j].class != match.Legal {
			nats += float64(ts[j].weight)
		}
		letters += float64(len(x.words.text[ts[j].word]))
	}
	if p.sim < same {
		a := natsASlip
		if p.qn == 1 && s.words[p.q].known {
			a = natsOtherSlip
		}
		nats = min(nats, max(0, letters*natsALetter-a*slipsOf(p.sim, letters)))
	}
	return nats, letters
}

// slipsOf is about how many slips part two words that are that similar.
func slipsOf(sim float32, letters float64) float64 { return (1 - float64(sim)) * letters / 0.85 }

func (x *Index) shareOf(s *scratch, p *aligned, nameID uint32) (w float64) {
	for i := p.q; i < p.q+p.qn; i++ {
		w += float64(s.words[i].weigh(x.names[nameID].org))
	}
	return w
}

// bound is about the best that a name can come to, in log-odds, that has matched some
// weight of the query.
func bound(total, matched, initials float32, org bool) float32 {
	lost := max(0, total-matched)
	z := always + perMatched*min(mostMatched, 1.1*float64(matched)+1) + float64(lost)*(querySide/float64(max(total, 0.01))+perQuery) + oneInitial*float64(initials) + slack
	if org && matched < 12 {
		z += firmThin * math.Exp(-float64(matched)/firmOver)
	}
	if lost > firmTells {
		z += eachQuery / 2 // a word is missing, or spelled quite otherwise
	}
	return float32(z)
}

// ScoreOf is the score of a name whose evidence adds up to log-odds.
func ScoreOf(odds float64) float64 { return 1 / (1 + math.Exp(-odds/spread)) }

// oddsOf is the log-odds of a score.
func oddsOf(score float32) float32 {
	v := min(0.9999, max(0.0001, float64(score)))
	return float32(spread * math.Log(v/(1-v)))
}

// disorder reports words that stand in another order than in the name. A family name
// that comes first is none: then the name is cut once and its parts exchanged.
func (a *aligner) disorder(org bool) bool {
	falls := 0
	for i, p := range a.pairs {
		next := -1
		for k, o := range a.pairs { // the pair that follows p in the query
			if o.q > p.q && (next < 0 || o.q < a.pairs[next].q) {
				next = k
			}
		}
		if next >= 0 && a.pairs[next].t < a.pairs[i].t {
			falls++
		}
	}
	return falls > 1 || org && falls > 0
}
