package synthetic

import (
	"crypto/sha256"
	"strconv"

	"github.com/muster-cip/muster"
)

// payment is how application i pays, from country c.
func (p *Population) payment(d *dice, class Class, c, home *country, i int) *muster.Payment {
	q := &muster.Payment{Means: "card", Country: c.code}
	if class == SharedCard {
		// The same card for all of this class in a stretch of numbers.
		stretch := i
		if p.mix.SharedCard > 0 {
			stretch = i / max(1, 1000*p.mix.CardUsers/p.mix.SharedCard)
		}
		shared := p.dice(-2 - stretch)
		q.Token = string(shared.letters([]byte("tok_"), 16))
		q.BIN, q.Last4 = bins[shared.n(len(bins))], string(shared.digits("####"))
		return q
	}
	kind := d.n(20)
	switch {
	case kind < 3 && len(c.ibans) > 0:
		q.Means = "bank_account"
		q.IBAN = string(d.iban(c))
	case kind == 3 && c == home:
		q.Means, q.Country = "virtual_currency", ""
		q.Wallet = &muster.Wallet{Network: "bitcoin", Address: d.wallet()}
	case kind == 4:
		q.Means, q.Institution = "processor", "Example Pay"
		q.CustomerID = string(d.letters([]byte("cus_"), 14))
	default:
		q.Token = string(d.letters([]byte("tok_"), 16))
		q.BIN, q.Last4 = bins[d.n(len(bins))], string(d.digits("####"))
	}
	return q
}

// bins are the ranges that processors give out for tests.
var bins = []string{"424242", "555555", "400000", "222300"}

// iban fills a country's form and computes the check digits (ISO 13616).
func (d *dice) iban(c *country) []byte {
	form := c.ibans[d.n(len(c.ibans))]
	bban := d.digits(form[2:])
	return append(checkDigits([]byte(form[:2]), bban), bban...)
}

// lei is a legal entity identifier (ISO 17442) of no registered issuer.
func (d *dice) lei() []byte {
	b := d.letters(d.digits("####00"), 12)
	for k := 6; k < len(b); k++ {
		b[k] -= 'a' - 'A'
	}
	return append(b, checkDigits(nil, b)...)
}

// checkDigits appends to country the two digits of ISO 7064 MOD 97-10 over
// number, country and 00.
func checkDigits(country, number []byte) []byte {
	rest := 0
	feed := func(b []byte) {
		for _, c := range b {
			if c >= 'A' {
				rest = (rest*100 + int(c-'A') + 10) % 97
			} else {
				rest = (rest*10 + int(c-'0')) % 97
			}
		}
	}
	feed(number)
	feed(country)
	check := 98 - rest*100%97
	return append(country, '0'+byte(check/10), '0'+byte(check%10))
}

// wallet is a Bitcoin address to a key hash that nobody has the key of: version,
// hash, four check bytes, in base 58.
func (d *dice) wallet() string {
	raw := make([]byte, 21, 25)
	for k := 1; k < 21; k++ {
		raw[k] = byte(d.n(256))
	}
	raw[1] |= 1 // one zero byte at the front, so one leading 1
	first := sha256.Sum256(raw)
	second := sha256.Sum256(first[:])
	raw = append(raw, second[:4]...)
	const alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
	var out [36]byte
	at := len(out)
	for left := raw[1:]; len(left) > 0; {
		rest := 0
		for k, v := range left {
			n := rest<<8 | int(v)
			left[k], rest = byte(n/58), n%58
		}
		at--
		out[at] = alphabet[rest]
		for len(left) > 0 && left[0] == 0 {
			left = left[1:]
		}
	}
	at--
	out[at] = '1'
	return string(out[at:])
}

// fault spoils one value.
type fault struct {
	pointer string // where the fault is reported
	spoil   func(a *muster.Application)
}

// cardNumber is a processor's published test number.
const cardNumber = "4242424242424242"

var faults = []fault{
	{"/customer/phone", func(a *muster.Application) { a.Customer.Phone = a.Customer.Phone[:5] }},
	{"/access/ip", func(a *muster.Application) { a.Access.IP = "10.0." + strconv.Itoa(a.Access.Port%256) + ".7" }},
	{"/payment/iban", func(a *muster.Application) {
		a.Payment = &muster.Payment{Means: "bank_account", Country: a.Payment.Country, IBAN: "DE00370400440532013000"}
	}},
	{"/payment/token", func(a *muster.Application) {
		a.Payment = &muster.Payment{Means: "card", Country: a.Payment.Country, Token: cardNumber}
	}},
	{"/customer/address/country", func(a *muster.Application) { a.Customer.Address.Country = "XX" }},
	{"/customer/date_of_birth", func(a *muster.Application) { a.Customer.DateOfBirth = "2199-01-01" }},
	{"/customer/name/full", func(a *muster.Application) { a.Customer.Name.Full += "\u202e" }},
	{"/customer/address/lines/0", func(a *muster.Application) { a.Customer.Address.Lines[0] = "card " + cardNumber }},
	{"/customer/email", func(a *muster.Application) { a.Customer.Email = "nobody at example" }},
}

// Fault is the JSON Pointer of the value at fault in application i, "" where its
// class is not Invalid.
func (p *Population) Fault(i int) string {
	if p.Class(i) != Invalid {
		return ""
	}
	return faults[i%len(faults)].pointer
}
