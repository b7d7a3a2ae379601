package synthetic_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/synthetic"
	"github.com/muster-cip/muster/validate"
	"github.com/nyaruka/phonenumbers"
)

// now lies after every population's times.
var now = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)

func TestEveryApplicationIsWhatItsClassSays(t *testing.T) {
	t.Parallel()
	check, err := validate.New()
	if err != nil {
		t.Fatal(err)
	}
	p := synthetic.New(1)
	size := 6_000
	if os.Getenv("MUSTER_SOAK") != "" {
		size = 20_000
	}
	seen := map[synthetic.Class]int{}
	mails, references, cards := map[string]bool{}, map[string]bool{}, map[string]int{}
	for i := range size {
		a := p.Next(i)
		class := p.Class(i)
		seen[class]++
		if references[a.Reference] {
			t.Fatalf("%d: reference twice", i)
		}
		references[a.Reference] = true
		body, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		got, err := check.Read(body, now)
		if class == synthetic.Invalid {
			var e *muster.Error
			if !errors.As(err, &e) || !slices.ContainsFunc(e.Faults, func(f muster.Fault) bool { return f.Pointer == p.Fault(i) }) {
				t.Fatalf("%d: invalid at %s, answered %v\n%s", i, p.Fault(i), err, body)
			}
			continue
		}
		if err != nil {
			var e *muster.Error
			errors.As(err, &e)
			t.Fatalf("%d, %s: %v %+v\n%s", i, class, err, e.Faults, body)
		}
		for _, s := range got.Subjects {
			mail := got.Normal.Subjects[slices.IndexFunc(got.Subjects, func(x validate.Subject) bool { return x.Pointer == s.Pointer })].EmailKey
			if mails[mail] {
				t.Fatalf("%d: mail twice", i)
			}
			mails[mail] = true
		}
		cards[got.Normal.Payment.Token]++
		var want []string
		if class == synthetic.NoPhone {
			want = []string{"phone"}
		}
		for _, name := range []string{"name", "phone", "email", "address", "nationalities", "address.lines", "address.locality", "address.region", "address.postal_code", "formation"} {
			absent := slices.Contains(got.Subjects[0].Absent, name)
			if name == "nationalities" && class == synthetic.Entity {
				continue
			}
			if absent != slices.Contains(want, name) {
				t.Fatalf("%d, %s: absent %v\n%s", i, class, got.Subjects[0].Absent, body)
			}
		}
		if slices.Contains(got.Absent, "notice") != (class == synthetic.NoNotice) {
			t.Fatalf("%d, %s: notice absent is %v", i, class, class != synthetic.NoNotice)
		}
		home, access, pay := a.Customer.Address.Country, got.AccessCountry, a.Payment.Country
		if access == "" {
			t.Fatalf("%d: the address of access is in no country", i)
		}
		three := home != access && pay != "" && pay != home && pay != access
		if three != (class == synthetic.ThreeCountries) {
			t.Fatalf("%d, %s: countries %s %s %s", i, class, home, access, pay)
		}
		if class == synthetic.Entity {
			if len(a.Owners) == 0 || len(got.Ownership.Open) > 0 || !slices.ContainsFunc(got.Subjects, func(s validate.Subject) bool { return s.Control && s.Terminal }) {
				t.Fatalf("%d: ownership %+v", i, got.Ownership)
			}
		}
		if w := a.Payment.Wallet; w != nil && !got.Normal.Payment.WalletChecked {
			t.Fatalf("%d: wallet passed no checksum", i)
		}
	}
	mix := p.Mix()
	for class, share := range map[synthetic.Class]int{
		synthetic.Complete: mix.Complete(), synthetic.Entity: mix.Entities, synthetic.USClaim: mix.USClaims,
		synthetic.NoPhone: mix.NoPhone, synthetic.ThreeCountries: mix.ThreeCountries, synthetic.Invalid: mix.Invalid,
		synthetic.NoNotice: mix.NoNotice, synthetic.SharedCard: mix.SharedCard,
	} {
		want := size * share / 1000
		if got := seen[class]; got < want*8/10 || got > want*12/10 {
			t.Errorf("%s: %d of %d, expected about %d", class, got, size, want)
		}
	}
	delete(cards, "")
	most := 0
	for _, n := range cards {
		most = max(most, n)
	}
	if most < 6 || most > 20 {
		t.Errorf("the most used card has %d users", most)
	}
}

func TestBlocksLieWhollyInTheirCountry(t *testing.T) {
	t.Parallel()
	locator, err := validate.NewLocator()
	if err != nil {
		t.Fatal(err)
	}
	for code, blocks := range synthetic.Blocks() {
		for _, b := range blocks {
			p := netip.MustParsePrefix(b)
			step := 0
			for a := p.Addr(); p.Contains(a); {
				if got := locator.Country(a); got != code {
					t.Fatalf("%s: %s is in %q, not in %q", b, a, got, code)
				}
				x := a.As4()
				n := uint32(x[0])<<24 | uint32(x[1])<<16 | uint32(x[2])<<8 | uint32(x[3])
				n += 128
				a = netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
				step++
			}
			if step == 0 {
				t.Fatalf("%s is empty", b)
			}
		}
	}
}

func TestSameSeedSameBytes(t *testing.T) {
	t.Parallel()
	a, b, c := synthetic.New(7), synthetic.New(7), synthetic.New(8)
	for _, i := range []int{0, 1, 17, 999_999, 5} {
		x, _ := json.Marshal(a.Next(i))
		y, _ := json.Marshal(b.Next(i))
		z, _ := json.Marshal(c.Next(i))
		if string(x) != string(y) {
			t.Errorf("%d differs", i)
		}
		if string(x) == string(z) {
			t.Errorf("%d is the same under another seed", i)
		}
		if !muster.IsReference(a.Reference(i)) || a.Reference(i) == c.Reference(i) {
			t.Errorf("reference %s", a.Reference(i))
		}
	}
}

func TestSeveralScripts(t *testing.T) {
	t.Parallel()
	p := synthetic.New(3)
	var all strings.Builder
	for i := range 2000 {
		n := p.Next(i).Customer.Name
		all.WriteString(n.Full + n.Native)
	}
	for script, letter := range map[string]string{"Cyrillic": "о", "Arabic": "ن", "Han": "王", "Hangul": "김", "Devanagari": "शर्मा", "Thai": "ม", "Greek": "Γ", "Hebrew": "ל", "Bengali": "র", "Latin": "ü"} {
		if !strings.Contains(all.String(), letter) {
			t.Errorf("no name in %s", script)
		}
	}
}

func BenchmarkMarshalled(b *testing.B) {
	p := synthetic.New(1)
	size := 0
	i := 0
	for b.Loop() {
		body, err := json.Marshal(p.Next(i))
		if err != nil {
			b.Fatal(err)
		}
		size += len(body)
		i++
	}
	b.ReportMetric(float64(size)/float64(b.N), "bytes/application")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "applications/s")
}

func TestFormsGiveValidTelephones(t *testing.T) {
	t.Parallel()
	each := 200
	if os.Getenv("MUSTER_SOAK") != "" {
		each = 2000
	}
	for form, numbers := range synthetic.Phones(each) {
		bad := 0
		for _, s := range numbers {
			n, err := phonenumbers.Parse(s, "")
			if err != nil || !phonenumbers.IsValidNumber(n) {
				bad++
			}
		}
		if bad > 0 {
			t.Errorf("%s: %d of %d are no numbers", form, bad, len(numbers))
		}
	}
}
