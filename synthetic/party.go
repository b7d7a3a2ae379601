package synthetic

import (
	"strconv"
	"strings"

	"github.com/muster-cip/muster"
)

// individual is a person of country c, the k-th on application i.
func (p *Population) individual(d *dice, c *country, i, k int) muster.Party {
	given, family := &c.given[d.n(len(c.given))], &c.family[d.n(len(c.family))]
	mononym := c.mononyms > 0 && d.n(c.mononyms) == 0
	q := muster.Party{
		Name:          name(c, given, family, mononym, d.n(3)),
		Address:       d.postal(c),
		Nationalities: []muster.Country{c.code},
		USPersonClaim: "none",
		Phone:         string(d.digits(c.phones[d.n(len(c.phones))])),
		DateOfBirth:   d.birth(),
	}
	if k == 0 && d.n(10) == 0 { // lives abroad
		q.Nationalities[0] = p.country(d).code
	}
	q.Email = d.mail(p, given.latin, i, k)
	return q
}

// name writes a name as one of three habits has it: Latin, Latin with the native
// one beside it, native alone.
func name(c *country, given, family *word, mononym bool, habit int) muster.Name {
	join := func(g, f, between string) string {
		switch {
		case mononym:
			return g
		case c.familyFirst:
			return f + between + g
		}
		return g + between + f
	}
	latin := join(given.latin, family.latin, " ")
	if given.native == "" || family.native == "" {
		return muster.Name{Full: latin}
	}
	between := " "
	if c.familyFirst {
		between = ""
	}
	native := join(given.native, family.native, between)
	switch habit {
	case 0:
		return muster.Name{Full: latin}
	case 1:
		return muster.Name{Full: latin, Native: native}
	}
	return muster.Name{Full: native}
}

func (d *dice) postal(c *country) *muster.Address {
	at := &c.places[d.n(len(c.places))]
	before, after, _ := strings.Cut(c.streets[d.n(len(c.streets))], "%")
	return &muster.Address{
		Lines:    []string{before + strconv.Itoa(1+d.n(180)) + after},
		Locality: at.locality, Region: at.region, PostalCode: at.code, Country: c.code,
	}
}

func (d *dice) birth() string {
	b := make([]byte, 0, 10)
	b = strconv.AppendInt(b, int64(1950+d.n(56)), 10)
	b = appendPadded(append(b, '-'), 1+d.n(12), 2)
	return string(appendPadded(append(b, '-'), 1+d.n(28), 2))
}

// domains are reserved for examples (RFC 2606, sections 2 and 3).
var domains = []string{"@example.com", "@example.org", "@example.net", "@mail.example", "@post.example"}

// mail is an address that no other person of this population or of another has.
func (d *dice) mail(p *Population, given string, i, k int) string {
	b := make([]byte, 0, 48)
	for _, r := range given {
		switch {
		case r >= 'A' && r <= 'Z':
			b = append(b, byte(r)+'a'-'A')
		case r >= 'a' && r <= 'z':
			b = append(b, byte(r))
		}
	}
	b = append(b, '.')
	b = append(b, p.prefix[4:len(p.prefix)-1]...)
	b = strconv.AppendInt(b, int64(i), 10)
	if k > 0 {
		b = strconv.AppendInt(append(b, '-'), int64(k), 10)
	}
	return string(append(b, domains[d.n(len(domains))]...))
}

var (
	entityFirst  = []string{"Blue Harbor", "Nordlys", "Kestrel", "Granite", "Sierra Alta", "Lotus", "Baobab", "Quai Neuf", "Monsun", "Polder", "Cedar Row", "Salt Marsh"}
	entityTrade  = []string{"Hosting", "Compute", "Trading", "Studios", "Logistics", "Software", "Research", "Media"}
	entityForms  = map[muster.Country]string{"DE": "GmbH", "FR": "SAS", "NL": "BV", "ES": "SL", "IT": "Srl", "PL": "Sp. z o.o.", "SE": "AB", "NO": "AS", "PT": "Lda", "TR": "A.Ş.", "IN": "Pvt Ltd", "BR": "Ltda", "MX": "SA de CV", "AR": "SRL", "JP": "K.K.", "CA": "Inc."}
	sharesOfFour = [...][]int{{100}, {60, 40}, {51, 30, 19}, {40, 30, 20, 10}, {34, 33, 33}, {70, 15}}
)

func (d *dice) business(c *country) string {
	form := entityForms[c.code]
	if form == "" {
		form = "Ltd"
	}
	return entityFirst[d.n(len(entityFirst))] + " " + entityTrade[d.n(len(entityTrade))] + " " + form
}

// entity makes the customer of application i a company of country c, with its
// owners: individuals, at times through a company of their own.
func (p *Population) entity(d *dice, a *muster.Application, c *country, i int) {
	a.Customer = muster.Party{
		Kind: muster.Entity, Name: muster.Name{Full: d.business(c)}, Address: d.postal(c), USPersonClaim: "none",
		Email: d.mail(p, "office", i, 0), Phone: string(d.digits(c.phones[d.n(len(c.phones))])),
		Formation: d.formation(c),
	}
	k := 0
	a.Owners = p.owners(d, c, i, &k, 3)
	controller := &a.Owners[0]
	for controller.IsEntity() {
		controller = &controller.Owners[0]
	}
	controller.Control = true
}

// owners is one level of owners, with at most levels below it.
func (p *Population) owners(d *dice, c *country, i int, k *int, levels int) []muster.Party {
	shares := sharesOfFour[d.n(len(sharesOfFour))]
	out := make([]muster.Party, len(shares))
	for n, share := range shares {
		*k++
		from := c
		if d.n(5) == 0 {
			from = p.country(d)
		}
		percent := muster.Percent(share) * 1_000_000
		if levels > 1 && d.n(6) == 0 {
			at := *k
			out[n] = muster.Party{
				Kind: muster.Entity, Name: muster.Name{Full: d.business(from)}, Address: d.postal(from),
				Email: d.mail(p, "office", i, at), Phone: string(d.digits(from.phones[0])), Formation: d.formation(from),
				Owners: p.owners(d, from, i, k, levels-1),
			}
		} else {
			out[n] = p.individual(d, from, i, *k)
		}
		out[n].OwnershipPercent = &percent
	}
	return out
}

func (d *dice) formation(c *country) *muster.Formation {
	f := &muster.Formation{Country: c.code, RegistrationNumber: string(d.digits("HR ######"))}
	if d.n(3) == 0 {
		f.LEI = string(d.lei())
	}
	return f
}
