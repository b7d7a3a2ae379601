package validate

import (
	"encoding/json"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/muster-cip/muster"
	"github.com/nyaruka/phonenumbers"
	"pgregory.net/rapid"
)

// shared reads a file of the verification vectors; nil where they are not there.
func shared(t *testing.T, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "shared", "data", "verification", name))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestIBAN(t *testing.T) {
	t.Parallel()
	c := newChecker(t)
	good := []string{"DE89370400440532013000", "de89 3704 0044 0532 0130 00", "NO9386011117947", "FK12SC987654321098", "XK051212012345678906"}
	bad := []string{
		"", "DE", "DE89370400440532013001", "DE8937040044053201300", "QQ93123456781234567", "DE89-3704-0044-0532-0130-00", "NL56 3003 0A17 1643 00", "DEÄ9370400440532013000",
		"BG93 BNBG 9661 1A20 3456 78", "NL56 3003 0A17 1643 00",
	}
	if raw := shared(t, "numbers/iban.json"); raw != nil {
		var groups []struct {
			Says    string   `json:"says"`
			Numbers []string `json:"numbers"`
		}
		if err := json.Unmarshal(raw, &groups); err != nil {
			t.Fatal(err)
		}
		for _, g := range groups {
			switch {
			case strings.HasPrefix(g.Says, "These should all be valid"):
				good = append(good, g.Numbers...)
			case strings.Contains(g.Says, "country-specific"):
				// Right by ISO 13616; a bank's own check digit within the BBAN is not ours.
				good = append(good, g.Numbers...)
			default:
				bad = append(bad, g.Numbers...)
			}
		}
	}
	for _, s := range good {
		if n, ok := c.iban(s); !ok || n != strings.ToUpper(strings.ReplaceAll(s, " ", "")) {
			t.Errorf("%q is refused (%q)", s, n)
		}
	}
	for _, s := range bad {
		if _, ok := c.iban(s); ok {
			t.Errorf("%q is accepted", s)
		}
	}
}

// Any one digit changed, and any two neighbours swapped, must be seen.
func TestCheckDigitsSeeOneMistake(t *testing.T) {
	t.Parallel()
	c := newChecker(t)
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.SampledFrom([]string{"DE89370400440532013000", "CY17002001280000001200527600", "GB82WEST12345698765432"}).Draw(t, "iban")
		i := rapid.IntRange(4, len(s)-1).Draw(t, "i")
		b := []byte(s)
		if rapid.Bool().Draw(t, "swap") && i+1 < len(b) {
			b[i], b[i+1] = b[i+1], b[i]
		} else {
			b[i] = byte('0' + rapid.IntRange(0, 9).Draw(t, "digit"))
		}
		if _, ok := c.iban(string(b)); ok != (string(b) == s) {
			t.Fatalf("%s -> %s: accepted %v", s, b, ok)
		}
	})
}

func TestLEI(t *testing.T) {
	t.Parallel()
	good := []string{"5493001KJTIIGC8Y1R12", "5493001kjtiigc8y1r12"}
	if raw := shared(t, "numbers/lei_valid.txt"); raw != nil {
		good = append(good, strings.Fields(string(raw))...)
	}
	for _, s := range good {
		if _, ok := lei(s); !ok {
			t.Errorf("%q is refused", s)
		}
		if _, ok := lei(s[:18] + s[19:] + s[18:19]); ok && s[18] != s[19] {
			t.Errorf("%q with its check digits swapped is accepted", s)
		}
	}
	for _, s := range []string{"", "5493001KJTIIGC8Y1R13", "5493001KJTIIGC8Y1R1", "5493001KJTIIGC8Y1RXX", "5493001KJTIIGC8Y1-12"} {
		if _, ok := lei(s); ok {
			t.Errorf("%q is accepted", s)
		}
	}
}

func TestWallet(t *testing.T) {
	t.Parallel()
	good := map[string][]string{
		"bitcoin": {
			"1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy", "1111111111111111111114oLvT2",
			"BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0", "BC1SW50QGDZ25J",
		},
		"ethereum": {"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed", "0x5AAEB6053F3E94C9B9A09F33669435E7EF1BEAED"},
		"litecoin": {"LM2WMpR1Rp6j3Sa59cMXMs1SPzj9eXpGc1"},
		"tron":     {"TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"},
		"monero":   {"44AFFq5kSiGBoZ4NMDwYtN18obc8AemS33DBLWs3H7otXft3XjrpDtQGv7SqSsaBYBb98uNbr2VBBEt7f2wfn3RVGQBEP3A"},
	}
	bad := map[string][]string{
		"bitcoin": {
			"", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb", "1A1zP1eP5QGefi2DMPTfTL5SLmv7Divf0a", "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn",
			"tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7",
			"bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v07qwwzcrf", "bc1gmk9yu", "bc1pw5dgrnzv",
			"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kemeawh", "BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P",
			"BC130XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ7ZWS8R",
		},
		"ethereum": {"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD", "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe"},
		"tron":     {"TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6T"},
		"monero":   {"not an address", strings.Repeat("a", 200)},
	}
	if raw := shared(t, "wallet/eip55_valid.txt"); raw != nil {
		good["ethereum"] = append(good["ethereum"], strings.Fields(string(raw))...)
	}
	if raw := shared(t, "wallet/bip350_vectors.mediawiki"); raw != nil {
		_, addresses, _ := strings.Cut(string(raw), "native segregated witness addresses")
		valid, invalid, ok := strings.Cut(addresses, "The following list gives invalid")
		if !ok {
			t.Fatal("the vectors are not as expected")
		}
		line := regexp.MustCompile(`(?m)^\* <tt>([^<]+)</tt>`)
		for _, m := range line.FindAllStringSubmatch(valid, -1) {
			if strings.HasPrefix(strings.ToLower(m[1]), "bc1") {
				good["bitcoin"] = append(good["bitcoin"], m[1])
			}
		}
		for _, m := range line.FindAllStringSubmatch(invalid, -1) {
			bad["bitcoin"] = append(bad["bitcoin"], m[1])
		}
	}
	for network, list := range good {
		for _, s := range list {
			if canonical, _, ok := wallet(network, s); !ok || canonical == "" {
				t.Errorf("%s: %q is refused", network, s)
			}
		}
	}
	for network, list := range bad {
		for _, s := range list {
			if _, _, ok := wallet(network, s); ok {
				t.Errorf("%s: %q is accepted", network, s)
			}
		}
	}
}

// TestBech32Checksum holds the checksum alone against the vectors of BIP 173 and
// BIP 350.
func TestBech32Checksum(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]uint32{"wallet/bip173_vectors.mediawiki": bech32Const, "wallet/bip350_vectors.mediawiki": bech32mConst} {
		raw := shared(t, name)
		if raw == nil {
			continue
		}
		valid, _, ok := strings.Cut(string(raw), "not valid Bech32")
		if !ok {
			t.Fatalf("%s is not as expected", name)
		}
		n := 0
		for _, m := range regexp.MustCompile(`(?m)^\* <tt>([^<]+)</tt>`).FindAllStringSubmatch(valid, -1) {
			s := m[1]
			if _, sum, ok := bech32(strings.ToLower(s[:strings.LastIndexByte(s, '1')]), s); !ok || sum != want {
				t.Errorf("%s: %q: %x %v", name, s, sum, ok)
			}
			n++
		}
		if n < 5 {
			t.Errorf("%s: only %d vectors", name, n)
		}
	}
}

// TestTelephonesOfEveryRegion takes 20,000 valid numbers (MUSTER_SOAK: 100,000), of every
// region of the metadata, through the whole check. Many of them pass a card's checks; none
// may be refused.
func TestTelephonesOfEveryRegion(t *testing.T) {
	t.Parallel()
	want := 20_000
	if os.Getenv("MUSTER_SOAK") != "" {
		want = 100_000
	}
	c := newChecker(t)
	var examples []*phonenumbers.PhoneNumber
	regions := slices.Sorted(maps.Keys(phonenumbers.GetSupportedRegions())) // the same numbers in every run: few read as a card
	for _, region := range regions {
		for kind := phonenumbers.FIXED_LINE; kind <= phonenumbers.VOICEMAIL; kind++ {
			if n := phonenumbers.GetExampleNumberForType(region, kind); n != nil && phonenumbers.IsValidNumber(n) {
				examples = append(examples, n)
			}
		}
	}
	if len(regions) < 240 || len(examples) < len(regions) {
		t.Fatalf("%d regions, %d examples", len(regions), len(examples))
	}
	random := rand.New(rand.NewPCG(1, 2))
	app := muster.Application{Reference: "a", Customer: muster.Party{Kind: muster.Individual, Name: muster.Name{Full: "A"}}}
	cards, spellings := 0, []phonenumbers.PhoneNumberFormat{phonenumbers.E164, phonenumbers.INTERNATIONAL}
	for done := 0; done < want; {
		example := examples[done%len(examples)]
		n := example
		if done >= len(examples) {
			// Other last digits, where they are valid as well.
			national := example.GetNationalNumber()
			mod := []uint64{10, 100, 1000, 10_000}[random.IntN(4)]
			national = national - national%mod + random.Uint64N(mod)
			n = &phonenumbers.PhoneNumber{CountryCode: example.CountryCode, NationalNumber: &national, ItalianLeadingZero: example.ItalianLeadingZero, NumberOfLeadingZeros: example.NumberOfLeadingZeros}
			if !phonenumbers.IsValidNumber(n) {
				n = example
			}
		}
		app.Customer.Phone = phonenumbers.Format(n, spellings[done%len(spellings)])
		got, err := c.Application(&app, testNow)
		if err != nil {
			var e *muster.Error
			errors.As(err, &e)
			t.Fatalf("%s: %v", app.Customer.Phone, e.Faults)
		}
		if e164 := phonenumbers.Format(n, phonenumbers.E164); got.Normal.Subjects[0].Phone != e164 {
			t.Fatalf("%s became %s", e164, got.Normal.Subjects[0].Phone)
		}
		if hasCard(app.Customer.Phone, false) {
			cards++
		}
		done++
	}
	if cards == 0 {
		t.Error("no number looked like a card: the exemption was not tried")
	}
	t.Logf("%d numbers, %d of which read as a card elsewhere", want, cards)
}

func TestPhone(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		typed   string
		country muster.Country
		want    string
	}{
		{"+49 30 901820", "", "+4930901820"},
		{"030 / 90 18 20", "DE", "+4930901820"},
		{"0803 123 4504", "NG", "+2348031234504"},
		{"+٤٩٣٠٩٠١٨٢٠", "", "+4930901820"},
		{"＋４９３０９０１８２０", "", "+4930901820"},
		{"030 901820", "", ""},
		{"+5511999", "BR", ""},
		{"+1 800 FLOWERS", "US", ""},
		{"+49 30 901820 ext. 5", "DE", ""},
		{"4111 1111 1111 1111", "DE", ""},
		{"++4930901820", "", ""},
		{"tel:+4930901820", "", ""},
		{strings.Repeat("1", 500), "US", ""},
	} {
		if got, ok := phone(x.typed, x.country); got != x.want || ok != (x.want != "") {
			t.Errorf("%q in %q: %q %v, want %q", x.typed, x.country, got, ok, x.want)
		}
	}
}
