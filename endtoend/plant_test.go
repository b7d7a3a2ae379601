package endtoend

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/muster-cip/muster"
)

// canaries are planted values and the applications that hold them.
type canaries struct {
	seed         string
	list         []canary
	applications map[string]*muster.Application // by reference
}

// of is the value planted in a field.
func (c *canaries) of(field string) string {
	for _, x := range c.list {
		if x.field == field {
			return x.value
		}
	}
	panic("no canary in " + field)
}

// plant makes a value for a field and remembers it.
func (c *canaries) plant(field, format string, args ...any) string {
	v := fmt.Sprintf(format, args...)
	c.list = append(c.list, canary{field, v})
	return v
}

// word is a word that occurs nowhere else, of letters from an alphabet.
func (c *canaries) word(field, alphabet string, n int) string {
	letters := []rune(alphabet)
	var out []rune
	for i := 0; len(out) < n; i++ {
		h := sha256.Sum256(fmt.Appendf(nil, "%s|%s|%d", c.seed, field, i))
		for _, b := range h {
			if len(out) < n {
				out = append(out, letters[int(b)%len(letters)])
			}
		}
	}
	return string(out)
}

const (
	lowers   = "bcdfghjklmnpqrstvwxz"
	uppers   = "BCDFGHJKLMNPQRSTVWXZ"
	digits   = "0123456789"
	alnums   = "ABCDEFGHJKMNPQRSTVWXYZ0123456789"
	cyrillic = "бвгджзклмнпрстфхцчшщ"
	kana     = "アイウエオカキクケコサシスセソタチツテト"
	arabic   = "بتثجحخدذرزسشصضطظعغفق"
)

// name is a capital and lower-case letters.
func (c *canaries) name(field string) string {
	return "Q" + c.word(field, lowers, 9)
}

// octets are the last two of an IPv4 address.
func (c *canaries) octets(field string) string {
	n := c.word(field, digits, 4)
	return "1" + n[:2] + ".1" + n[2:]
}

// postalCode is one of Canada, of the district of a letter.
func (c *canaries) postalCode(field string, district rune) string {
	n := c.word(field, digits, 3)
	return c.plant(field, "%c%cX %cR%c", district, n[0], n[1], n[2])
}

// canariesOf plants one value in every personal field. Those of each seed differ.
func canariesOf(seed string) *canaries {
	c := &canaries{seed: seed, applications: map[string]*muster.Application{}}
	now := time.Now().UTC().Truncate(time.Second)
	notice := &muster.Notice{Version: "2026-11", Locale: "en", ShownAt: now}
	c.applications["warm-up"] = &muster.Application{
		Reference: "warm-up", Notice: notice, Access: &muster.Access{IP: "5.9.120.33", Time: now}, Request: &muster.Request{Products: []string{"vm"}},
		Customer: muster.Party{
			Kind: muster.Individual, Name: muster.Name{Full: "Lena Hoffmann"}, Email: "lena@example.de", Phone: "+4930901820", Nationalities: []muster.Country{"DE"},
			Address: &muster.Address{Lines: []string{"Torstraße 140"}, Locality: "Berlin", PostalCode: "10119", Country: "DE"},
		},
		Payment: &muster.Payment{Means: "invoice", Country: "DE"},
	}
	c.applications["individual"] = &muster.Application{
		Reference: "individual", Notice: notice, Device: c.plant("device", "dev-%s", c.word("device", alnums, 14)),
		Customer: muster.Party{
			Kind: muster.Individual,
			Name: muster.Name{
				Full:   c.plant("name", "%s %s", c.name("given"), c.name("family")),
				Native: c.plant("native name", "%s %s", c.word("native", cyrillic, 7), c.word("native 2", kana, 6)),
				Others: []string{c.plant("other name", "%s ibn %s", c.word("other", arabic, 6), c.name("other"))},
			},
			Address: &muster.Address{
				Lines:    []string{c.plant("address line", "%s Straße %s", c.name("street"), c.word("house", digits, 2)), c.plant("second address line", "c/o %s", c.name("care of"))},
				Locality: c.plant("locality", "%sville", c.name("town")), Region: "ON", PostalCode: c.postalCode("postal code", 'K'), Country: "CA",
			},
			Nationalities: []muster.Country{"CA"}, USPersonClaim: "none",
			Email: c.plant("e-mail", "%s.vögel@%s.example", c.word("mail", lowers, 9), c.word("host", lowers, 8)),
			Phone: c.plant("phone", "+1613%s", "5"+c.word("phone", "23456789", 6)), DateOfBirth: c.plant("date of birth", "19%d-0%d-1%d", 50+len(seed)%40, 1+len(seed)%9, len(seed)%10),
			NationalID: &muster.NationalID{Type: "tax", Country: "CA", Value: c.plant("national identifier", "%s", c.word("national", alnums, 12))},
		},
		Payment: &muster.Payment{
			Means: "bank_account", Country: "DE", Institution: c.plant("institution", "%s Bank", c.name("bank")), PayerName: c.plant("payer", "%s %s", c.name("payer"), c.name("payer 2")),
			IBAN: c.plant("iban", "%s", mod97("DE", c.word("iban", "3456789", 18))), CustomerID: c.plant("customer identifier", "cus_%s", c.word("cus", alnums, 12)),
			TransactionID: c.plant("transaction identifier", "txn_%s", c.word("txn", alnums, 12)),
		},
		Access:  &muster.Access{IP: c.plant("access ip", "%s", "142.112."+c.octets("ip")), Port: 40000, Time: now},
		Request: &muster.Request{Products: []string{"vm"}, Purpose: c.plant("purpose", "to host the site of %s", c.name("purpose"))},
	}
	c.plant("corrected line", "%s Gate, flat %s", c.name("corrected"), c.word("flat", digits, 3))
	c.applications["reviewed"] = &muster.Application{
		Reference: "reviewed", Notice: notice,
		Customer: muster.Party{
			Kind: muster.Individual, Name: muster.Name{Full: c.plant("reviewed name", "%s", c.name("reviewed"))}, Nationalities: []muster.Country{"PT"},
			Address: &muster.Address{Lines: []string{c.plant("reviewed line", "Rua %s", c.name("rua"))}, Locality: "Lisboa", PostalCode: "1100-053", Country: "PT"},
			Email:   c.plant("reviewed e-mail", "%s@mail.example", c.word("reviewed mail", lowers, 12)), Phone: c.plant("reviewed phone", "+35191%s", c.word("reviewed phone", "23456789", 7)),
		},
		Payment: &muster.Payment{Means: "card", Country: "KZ", Token: c.plant("card token", "tok_%s", c.word("tok", alnums, 14)), Fingerprint: c.plant("card fingerprint", "fp_%s", c.word("fp", alnums, 14)), BIN: "424242", Last4: "1037"},
		Access:  &muster.Access{IP: c.plant("access ipv6", "%s", "2a02:6b8:"+c.word("v6", "123456789abcdef", 4)+":"+c.word("v6b", "123456789abcdef", 4)+"::"+c.word("v6c", "123456789abcdef", 4)), Time: now},
		Request: &muster.Request{Products: []string{"vm"}},
	}
	c.plant("resolution reason", "spoke with %s on the telephone", c.name("reason"))
	c.plant("move reason", "%s asked for it", c.name("move"))
	percent := muster.Percent(60_000_000)
	if err := json.Unmarshal([]byte("60"), &percent); err != nil {
		panic(err)
	}
	c.applications["entity"] = &muster.Application{
		Reference: "entity", Notice: notice,
		Customer: muster.Party{
			Kind: muster.Entity, Name: muster.Name{Full: c.plant("entity name", "%s Hosting GmbH", c.name("entity"))},
			Address: &muster.Address{Lines: []string{c.plant("entity line", "%sweg 4", c.name("weg"))}, Locality: "Hamburg", PostalCode: "20095", Country: "DE"},
			Email:   c.plant("entity e-mail", "%s@firm.example", c.word("firm", lowers, 12)), Phone: c.plant("entity phone", "+493090%s", c.word("firm phone", "23456789", 6)),
			Formation: &muster.Formation{
				Country: "DE", RegistrationNumber: c.plant("registration number", "HRB %s", c.word("hrb", digits, 9)),
				LEI: c.plant("lei", "%s", lei(c.word("lei", alnums, 18))), OwnershipPattern: c.plant("ownership pattern", "held by %s", c.name("held")),
			},
		},
		Owners: []muster.Party{{
			Kind: muster.Individual, Name: muster.Name{Full: c.plant("owner name", "%s %s", c.name("owner"), c.name("owner 2"))}, Nationalities: []muster.Country{"AT"},
			Address: &muster.Address{Lines: []string{c.plant("owner line", "%sgasse 9", c.name("gasse"))}, Locality: "Wien", PostalCode: "1010", Country: "AT"},
			Email:   c.plant("owner e-mail", "%s@owner.example", c.word("owner mail", lowers, 12)), Phone: c.plant("owner phone", "+43664%s", c.word("owner phone", "23456789", 7)),
			DateOfBirth: c.plant("owner's date of birth", "19%d-1%d-2%d", 51+len(seed)%40, len(seed)%3, len(seed)%9), OwnershipPercent: &percent, Control: true,
		}},
		Signatories: []muster.Signatory{{
			Name: muster.Name{Full: c.plant("signatory name", "%s", c.name("signatory"))}, Role: c.plant("signatory role", "%s officer", c.name("role")),
			Email: c.plant("signatory e-mail", "%s@sign.example", c.word("sign", lowers, 12)), Phone: c.plant("signatory phone", "+493091%s", c.word("sign phone", "23456789", 6)),
		}},
		Payment: &muster.Payment{
			Means: "virtual_currency", AccountNumber: c.plant("account number", "ACC%s", c.word("account", alnums, 12)),
			Wallet: &muster.Wallet{Network: "ethereum", Address: c.plant("wallet", "0x%s", hex.EncodeToString([]byte(c.word("wallet", lowers, 20))))},
		},
		Access: &muster.Access{IP: c.plant("entity's access ip", "5.9.%s", c.octets("entity ip")), Time: now}, Request: &muster.Request{Products: []string{"vm"}},
	}
	c.applications["imported"] = &muster.Application{
		Reference: "imported", Device: c.plant("imported device", "dev-%s", c.word("imported device", alnums, 14)),
		Customer: muster.Party{
			Kind: muster.Individual, Name: muster.Name{Full: c.plant("imported name", "%s %s", c.name("imported"), c.name("imported 2"))},
			Address: &muster.Address{Lines: []string{c.plant("imported line", "%s Avenue", c.name("avenue"))}, Locality: "Toronto", Region: "ON", PostalCode: c.postalCode("imported postal code", 'M'), Country: "CA"},
			Email:   c.plant("imported e-mail", "%s@book.example", c.word("imported mail", lowers, 12)), Phone: c.plant("imported phone", "+3461%s", c.word("imported phone", "23456789", 7)),
		},
	}
	c.plant("imported evidence", "papers of %s", c.name("papers"))
	c.plant("document number", "ZX%s", c.word("document", alnums, 10))
	c.plant("place of issue", "%sburg", c.name("issue"))
	c.plant("document note", "seen by %s over video", c.name("note"))
	c.plant("faulty value", "Z%s", c.word("faulty", lowers, 14))
	c.plant("card number", "%s", luhn("453901"+c.word("card", "123456789", 9)))
	return c
}

// document is the input of document.manual.
func (c *canaries) document() json.RawMessage {
	data, err := json.Marshal(map[string]any{
		"type": "passport", "issuer": "CA", "place_of_issue": c.of("place of issue"), "number": c.of("document number"), "issued_on": "2022-03-01", "expires_on": "2032-02-28",
		"has_photo": true, "attributes": map[string]string{"name": "supports", "nationality": "supports"}, "shows": map[string][]string{"nationality": {"CA"}}, "note": c.of("document note"),
	})
	if err != nil {
		panic(err)
	}
	return data
}

// mod97 puts a country and check digits (ISO 7064 MOD 97-10) before a number.
func mod97(country, number string) string {
	return country + check97(number+country) + number
}

// lei puts check digits after 18 characters (ISO 17442).
func lei(b string) string { return b + check97(b) }

func check97(s string) string {
	var d strings.Builder
	for _, r := range s + "00" {
		if r >= 'A' {
			fmt.Fprint(&d, r-'A'+10)
		} else {
			d.WriteRune(r)
		}
	}
	n, _ := new(big.Int).SetString(d.String(), 10)
	return fmt.Sprintf("%02d", 98-new(big.Int).Mod(n, big.NewInt(97)).Int64())
}

// luhn appends the check digit of a card number.
func luhn(s string) string {
	sum := 0
	for i := range len(s) {
		v := int(s[len(s)-1-i] - '0')
		if i%2 == 0 {
			if v *= 2; v > 9 {
				v -= 9
			}
		}
		sum += v
	}
	return s + string(rune('0'+(10-sum%10)%10))
}

func TestCanariesDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, seed := range []string{"clear sqlite", "open sqlite", "clear postgres", "open postgres"} {
		for _, c := range canariesOf(seed).list {
			if was, twice := seen[c.value]; twice {
				t.Errorf("%q is in %s and in %s of %s", c.value, was, c.field, seed)
			}
			seen[c.value] = c.field + " of " + seed
		}
	}
}
