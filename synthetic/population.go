package synthetic

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/muster-cip/muster"
)

// Class says what is particular about an application.
type Class string

const (
	Complete       Class = "complete"        // an individual, nothing absent, countries agree or two of three do
	Entity         Class = "entity"          // with owners down to individuals, one in control
	USClaim        Class = "us_claim"        // an individual who claims to be a US person; otherwise complete
	NoPhone        Class = "no_phone"        // the telephone is absent
	ThreeCountries Class = "three_countries" // address, access and payment in three countries
	Invalid        Class = "invalid"         // one value cannot be right; Fault names it
	NoNotice       Class = "no_notice"       // no privacy notice was shown
	SharedCard     Class = "shared_card"     // an individual on a card that others use too
)

// Classes lists them in the order of Mix.
var Classes = []Class{Complete, Entity, USClaim, NoPhone, ThreeCountries, Invalid, NoNotice, SharedCard}

// Mix is how many of a thousand applications are of each class; the rest is
// complete. Bench and demo print it.
type Mix struct {
	Entities       int `json:"entities"`
	USClaims       int `json:"us_claims"`
	NoPhone        int `json:"no_phone"`
	ThreeCountries int `json:"three_countries"`
	Invalid        int `json:"invalid"`
	NoNotice       int `json:"no_notice"`
	SharedCard     int `json:"shared_card"`
	CardUsers      int `json:"card_users"` // about how many applications share one card
}

// DefaultMix is what New uses.
func DefaultMix() Mix {
	return Mix{Entities: 120, USClaims: 50, NoPhone: 40, ThreeCountries: 30, Invalid: 30, NoNotice: 20, SharedCard: 10, CardUsers: 8}
}

// Complete is the share, in a thousand, that the other classes leave.
func (m Mix) Complete() int {
	return 1000 - m.Entities - m.USClaims - m.NoPhone - m.ThreeCountries - m.Invalid - m.NoNotice - m.SharedCard
}

func (m Mix) String() string {
	return fmt.Sprintf("per mille: complete %d, entity %d, us_claim %d, no_phone %d, three_countries %d, invalid %d, no_notice %d, shared_card %d (about %d on one card)",
		m.Complete(), m.Entities, m.USClaims, m.NoPhone, m.ThreeCountries, m.Invalid, m.NoNotice, m.SharedCard, m.CardUsers)
}

// epoch is when the first application of every population was made. It lies in
// the past of any clock that runs Muster, so that no stated time is in the future.
var epoch = time.Date(2026, 1, 12, 8, 0, 0, 0, time.UTC)

// Population makes applications. It is safe for concurrent use.
type Population struct {
	seed      uint64
	mix       Mix
	prefix    string     // of references
	countries []*country // all but those of weight 0
	us        *country
	weights   int
}

// New is a population of the default mix. It panics where the compiled-in words
// are damaged, which a test excludes.
func New(seed uint64) *Population { return NewMix(seed, DefaultMix()) }

// NewMix is a population of mix m.
func NewMix(seed uint64, m Mix) *Population {
	all, err := readWords(wordsText)
	if err != nil {
		panic(err)
	}
	p := &Population{seed: seed, mix: m}
	for _, c := range all {
		if c.code == "US" {
			p.us = c
		}
		if c.weight > 0 {
			p.countries = append(p.countries, c)
			p.weights += c.weight
		}
	}
	// Heavy countries first: the search for one is short.
	slices.SortStableFunc(p.countries, func(a, b *country) int { return cmp.Compare(b.weight, a.weight) })
	d := p.dice(-1)
	p.prefix = "syn-" + string(d.letters(nil, 6)) + "-"
	return p
}

// Seed is what New was given.
func (p *Population) Seed() uint64 { return p.seed }

// Mix is the shares of each class.
func (p *Population) Mix() Mix { return p.mix }

// Reference is the reference of application i, unique in the population.
func (p *Population) Reference(i int) string {
	return string(appendPadded([]byte(p.prefix), i, 7))
}

// Class is what is particular about application i.
func (p *Population) Class(i int) Class {
	d := p.dice(i)
	return p.class(&d)
}

// class takes the first throw, so that Class and Next agree.
func (p *Population) class(d *dice) Class {
	n := d.n(1000)
	for _, x := range [...]struct {
		share int
		class Class
	}{
		{p.mix.Entities, Entity},
		{p.mix.USClaims, USClaim},
		{p.mix.NoPhone, NoPhone},
		{p.mix.ThreeCountries, ThreeCountries},
		{p.mix.Invalid, Invalid},
		{p.mix.NoNotice, NoNotice},
		{p.mix.SharedCard, SharedCard},
	} {
		if n -= x.share; n < 0 {
			return x.class
		}
	}
	return Complete
}

// Next is application i, from 0. It is the caller's to change.
func (p *Population) Next(i int) *muster.Application {
	d := p.dice(i)
	class := p.class(&d)
	home := p.country(&d)
	if class == USClaim {
		home = p.us
	}
	access, payment := home, home
	switch {
	case class == ThreeCountries:
		for access == home {
			access = p.country(&d)
		}
		for payment == home || payment == access {
			payment = p.country(&d)
		}
	case d.n(12) == 0: // a dollar card, a tunnel: two of three agree
		if d.n(2) == 0 {
			access = p.country(&d)
		} else {
			payment = p.us
		}
	}
	a := &muster.Application{Reference: p.Reference(i)}
	if class == Entity {
		p.entity(&d, a, home, i)
	} else {
		a.Customer = p.individual(&d, home, i, 0)
		a.Customer.Kind = muster.Individual
	}
	a.Payment = p.payment(&d, class, payment, home, i)
	at := epoch.Add(time.Duration(i%(90*86400)) * time.Second)
	a.Access = &muster.Access{IP: d.address(access), Port: 1024 + d.n(60000), Time: at}
	a.Request = &muster.Request{Products: products[d.n(len(products))], Purpose: purposes[d.n(len(purposes))]}
	a.Notice = &muster.Notice{Version: "2026-01", Locale: "en", ShownAt: at.Add(-time.Minute)}
	if d.n(3) == 0 {
		a.Device = "dev_" + string(d.letters(nil, 20))
	}
	switch class {
	case USClaim:
		a.Customer.USPersonClaim = "citizen"
		if d.n(4) == 0 {
			a.Customer.USPersonClaim = "permanent_resident"
			a.Customer.Nationalities = []muster.Country{p.country(&d).code}
		}
	case NoPhone:
		a.Customer.Phone = ""
	case NoNotice:
		a.Notice = nil
	case Invalid:
		faults[i%len(faults)].spoil(a)
	}
	return a
}

var products = [][]string{{"vm"}, {"vm"}, {"vm"}, {"vm", "storage"}, {"vm", "gpu"}, {"bare_metal"}, {"dns"}, {"vm", "cdn"}}

var purposes = []string{
	"", "", "a shop's web site", "a private mail server", "a game server for friends", "research computing", "backups", "a course at university",
	"tests of our own software", "a podcast", "une boutique en ligne", "интернет-магазин", "公司网站", "ウェブサイト",
}

// dice is the chance of one application.
type dice struct{ source rand.PCG }

func (p *Population) dice(i int) dice {
	var d dice
	d.source.Seed(p.seed, uint64(int64(i)))
	return d
}

// n is one of n numbers from 0 on.
func (d *dice) n(n int) int { return int(d.source.Uint64() % uint64(n)) }

// letters appends n small letters: a token without a digit is no card number.
func (d *dice) letters(b []byte, n int) []byte {
	v := d.source.Uint64()
	for k := range n {
		if k%12 == 0 {
			v = d.source.Uint64()
		}
		b = append(b, "bcdfghjklmnpqrstvwxz"[v%20])
		v /= 20
	}
	return b
}

// digits fills the # of form.
func (d *dice) digits(form string) []byte {
	b := []byte(form)
	v := uint64(0)
	left := 0
	for k, c := range b {
		if c != '#' {
			continue
		}
		if left == 0 {
			v, left = d.source.Uint64(), 18
		}
		b[k] = '0' + byte(v%10)
		v /= 10
		left--
	}
	return b
}

func (d *dice) address(c *country) string {
	b := c.blocks[d.n(len(c.blocks))]
	// Not the first or last of its /24: nobody sits there.
	a := b.base | uint32(d.n(1<<31))&b.mask&^0xff | uint32(1+d.n(254))
	s := make([]byte, 0, 15)
	for shift := 24; shift >= 0; shift -= 8 {
		s = strconv.AppendUint(s, uint64(a>>shift&0xff), 10)
		if shift > 0 {
			s = append(s, '.')
		}
	}
	return string(s)
}

func (p *Population) country(d *dice) *country {
	n := d.n(p.weights)
	for _, c := range p.countries {
		if n -= c.weight; n < 0 {
			return c
		}
	}
	return p.us
}

func appendPadded(b []byte, n, width int) []byte {
	s := strconv.Itoa(n)
	for k := len(s); k < width; k++ {
		b = append(b, '0')
	}
	return append(b, s...)
}
