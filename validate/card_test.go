package validate

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/muster-cip/muster"
	"pgregory.net/rapid"
)

// drawCard makes a number of one network: a prefix in its range, a length that it
// issues, random digits and the check digit.
func drawCard(t *rapid.T) string {
	x := issuers[rapid.IntRange(0, len(issuers)-1).Draw(t, "issuer")]
	var lengths []int
	for n := cardMin; n <= cardMax; n++ {
		if x.lengths&(1<<n) != 0 {
			lengths = append(lengths, n)
		}
	}
	n := rapid.SampledFrom(lengths).Draw(t, "length")
	d := make([]byte, n)
	prefix := rapid.IntRange(x.low, x.high).Draw(t, "prefix")
	for i := x.digits - 1; i >= 0; i-- {
		d[i], prefix = byte(prefix%10), prefix/10
	}
	for i := x.digits; i < n-1; i++ {
		d[i] = byte(rapid.IntRange(0, 9).Draw(t, "digit"))
	}
	for v := byte(0); v < 10; v++ {
		if d[n-1] = v; luhn(d) {
			break
		}
	}
	for i := range d {
		d[i] += '0'
	}
	return string(d)
}

// drawSpelling writes a number as people do, or as people hide it.
func drawSpelling(t *rapid.T, number string) string {
	zero := rapid.SampledFrom([]rune{'0', '٠', '۰', '०', '০', '０', '๐', '𝟎'}).Draw(t, "script")
	separator := rapid.SampledFrom([]string{"", " ", "-", "\u00a0", "–", ".", "_", " - ", "\u200b", "\u200d", "　"}).Draw(t, "separator")
	var b strings.Builder
	for i, c := range number {
		if i > 0 && rapid.Bool().Draw(t, "gap") {
			b.WriteString(separator)
		}
		b.WriteRune(zero + c - '0')
	}
	return b.String()
}

func TestCardsInFreeTextAreSeen(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		card := drawSpelling(t, drawCard(t))
		before := rapid.SampledFrom([]string{"", "card ", "Kartennummer:", "12 ", "PO Box 7, ", "卡号", "x", "3-", "a1b2 ", "visa"}).Draw(t, "before")
		after := rapid.SampledFrom([]string{"", " 12/27", " exp 1227", ", 123", " 999", "。", "x", " ok"}).Draw(t, "after")
		if text := before + card + after; !hasCard(text, false) {
			t.Fatalf("%q is taken", text)
		}
	})
}

func TestCardsInIdentifiersAreSeen(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		card := drawCard(t)
		if rapid.Bool().Draw(t, "spelled") {
			card = drawSpelling(t, card)
		}
		before := rapid.SampledFrom([]string{"", "tok_", "card", "pm-", "a1b2_", "src:"}).Draw(t, "before")
		after := rapid.SampledFrom([]string{"", "_1", "x", "-de", ":live"}).Draw(t, "after")
		if before == "card" && after == "x" && strings.ContainsAny(card, "-_. ") {
			after = ""
		}
		if text := before + card + after; !hasCard(text, true) {
			t.Fatalf("%q is taken", text)
		}
	})
}

// A number of a card's length whose check digit is wrong, or that no network
// issues, is an ordinary number.
func TestOrdinaryNumbersAreNoCards(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := []byte(drawCard(t))
		b[len(b)-1] = '0' + (b[len(b)-1]-'0'+byte(rapid.IntRange(1, 9).Draw(t, "off")))%10
		if hasCard(string(b), false) {
			t.Fatalf("%s is refused", b)
		}
	})
	for _, s := range []string{
		"", "tok_01", "1", "Tower 2, Flat 1904", "8001015009087", "2348031234504", "0000000000000000", "12345678901234567890123456789012",
		"9f4111111111111111ab3c", "3f2504e0-4f89-41d3-9a0c-0305e82c3301", "2026-11-02 09:15:00", "4111 1111 1111", "4111111111111112",
	} {
		if hasCard(s, true) {
			t.Errorf("%q is refused", s)
		}
	}
}

// TestCardsAreRefusedWhereverTheyStand puts one card into every text member of an
// application. The exempt members are those with a format of their own.
func TestCardsAreRefusedWhereverTheyStand(t *testing.T) {
	t.Parallel()
	const card = "4111 1111 1111 1111"
	c := newChecker(t)
	for pointer, put := range map[string]func(*muster.Application){
		"/reference": func(a *muster.Application) { a.Reference = "4111-1111-1111-1111" },
		"/account":   func(a *muster.Application) { a.Account = "4111111111111111" },
		"/parent/account": func(a *muster.Application) {
			a.Parent = &muster.Parent{Account: "4111111111111111", Relation: "sublessee"}
		},
		"/device":                        func(a *muster.Application) { a.Device = card },
		"/customer/name/full":            func(a *muster.Application) { a.Customer.Name.Full = "Ann " + card },
		"/customer/name/native":          func(a *muster.Application) { a.Customer.Name.Native = "Ann " + card },
		"/customer/name/others/1":        func(a *muster.Application) { a.Customer.Name.Others = []string{"B", "C " + card} },
		"/customer/address/lines/0":      func(a *muster.Application) { a.Customer.Address.Lines = []string{card} },
		"/customer/address/locality":     func(a *muster.Application) { a.Customer.Address.Locality = card },
		"/customer/address/region":       func(a *muster.Application) { a.Customer.Address.Region = card },
		"/customer/address/postal_code":  func(a *muster.Application) { a.Customer.Address.Country, a.Customer.Address.PostalCode = "AE", card },
		"/customer/address/sorting_code": func(a *muster.Application) { a.Customer.Address.SortingCode = card },
		"/customer/email":                func(a *muster.Application) { a.Customer.Email = "4111111111111111@example.org" },
		"/customer/formation/region":     func(a *muster.Application) { a.Customer.Formation = &muster.Formation{Country: "DE", Region: card} },
		"/customer/formation/registration_number": func(a *muster.Application) {
			a.Customer.Formation = &muster.Formation{Country: "DE", RegistrationNumber: card}
		},
		"/customer/formation/ownership_pattern": func(a *muster.Application) {
			a.Customer.Formation = &muster.Formation{Country: "DE", OwnershipPattern: "see\n" + card}
		},
		"/customer/national_identifier/type": func(a *muster.Application) {
			a.Customer.NationalID = &muster.NationalID{Type: card, Country: "DE", Value: "1"}
		},
		"/signatories/0/role": func(a *muster.Application) {
			a.Signatories = []muster.Signatory{{Name: muster.Name{Full: "S"}, Role: card}}
		},
		"/payment/token":                  func(a *muster.Application) { a.Payment.Token = card },
		"/payment/fingerprint":            func(a *muster.Application) { a.Payment.Fingerprint = card },
		"/payment/customer_identifier":    func(a *muster.Application) { a.Payment.CustomerID = card },
		"/payment/transaction_identifier": func(a *muster.Application) { a.Payment.TransactionID = card },
		"/payment/account_number":         func(a *muster.Application) { a.Payment.AccountNumber = card },
		"/payment/institution":            func(a *muster.Application) { a.Payment.Institution = card },
		"/payment/payer_name":             func(a *muster.Application) { a.Payment.PayerName = card },
		"/payment/wallet/address": func(a *muster.Application) {
			a.Payment.Wallet = &muster.Wallet{Network: "other", Address: "4111111111111111"}
		},
		"/payment/wallet/network": func(a *muster.Application) {
			a.Payment.Wallet = &muster.Wallet{Network: "4111111111111111", Address: "x"}
		},
		"/request/products/0": func(a *muster.Application) { a.Request = &muster.Request{Products: []string{card}} },
		"/request/purpose":    func(a *muster.Application) { a.Request = &muster.Request{Purpose: "pay with " + card} },
		"/notice/version":     func(a *muster.Application) { a.Notice = &muster.Notice{Version: card, ShownAt: testNow} },
	} {
		app := &muster.Application{
			Reference: "a", Payment: &muster.Payment{Means: "card"},
			Customer: muster.Party{Kind: muster.Individual, Name: muster.Name{Full: "Ann"}, Address: &muster.Address{Country: "DE"}},
		}
		put(app)
		_, err := c.Application(app, testNow)
		var e *muster.Error
		if !errors.As(err, &e) || !slices.ContainsFunc(e.Faults, func(f muster.Fault) bool { return f.Pointer == pointer && f.Code == "card_number" }) {
			t.Errorf("%s: %v", pointer, err)
			continue
		}
		for _, f := range e.Faults {
			if strings.Contains(f.Pointer+f.Detail, "1111") {
				t.Errorf("%s: the fault repeats the value", pointer)
			}
		}
	}
}
