package validate

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/muster-cip/muster"
)

func TestEmail(t *testing.T) {
	t.Parallel()
	c := newChecker(t)
	for typed, want := range map[string][2]string{
		"Ann.Lee+x@Example.ORG":     {"Ann.Lee+x@example.org", "ann.lee+x@example.org"},
		" ann@example.org ":         {"ann@example.org", "ann@example.org"},
		"用户@例子.广告":                  {"用户@xn--fsqu00a.xn--4rr70v", "用户@xn--fsqu00a.xn--4rr70v"},
		"ann@Bücher.example":        {"ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example"},
		"Jose\u0301@example.org":    {"José@example.org", "josé@example.org"},
		"o'brien@sub.example.co.uk": {"o'brien@sub.example.co.uk", "o'brien@sub.example.co.uk"},
		"a@xn--bcher-kva.example":   {"a@xn--bcher-kva.example", "a@xn--bcher-kva.example"},
		"a@r3---sn-4g5e.example":    {"a@r3---sn-4g5e.example", "a@r3---sn-4g5e.example"},
	} {
		addr, key, ok := c.email(typed)
		if !ok || addr != want[0] || key != want[1] {
			t.Errorf("%q: %q %q %v, want %q", typed, addr, key, ok, want)
		}
	}
	for _, s := range []string{
		"", "@", "ann", "@example.org", "ann@", "ann@localhost", "ann@example..org", "ann@.example.org", "ann@example.org.", ".ann@example.org", "ann.@example.org",
		"a..b@example.org", "Ann <ann@example.org>", "a b@example.org", "\"a b\"@example.org", "ann@[5.9.120.33]", "ann@5.9.120.33", "ann@exa mple.org",
		"ann@-example.org", "ann@example-.org", "ann@exa_mple.org", strings.Repeat("a", 65) + "@example.org", strings.Repeat("ü", 33) + "@example.org",
		"ann@" + strings.Repeat("a", 64) + ".org", "ann@" + strings.Repeat("abcdefgh.", 30) + "org", "a\x00@example.org", "a\u202e@example.org", "a\u200b@example.org",
		"ann@example.org\r\nBcc: x@example.org", "ann@xn--a.example", "a@b@example.org", "ann@exa\u202emple.org",
	} {
		if addr, _, ok := c.email(s); ok {
			t.Errorf("%q is accepted as %q", s, addr)
		}
	}
}

func TestPostalCode(t *testing.T) {
	t.Parallel()
	c := newChecker(t)
	for _, x := range []struct {
		country muster.Country
		typed   string
		want    string
		ok      bool
	}{
		{"DE", "10119", "10119", true},
		{"DE", "1011", "1011", false},
		{"DE", "１０１１９", "10119", true},
		{"GB", "e14 5ab", "E14 5AB", true},
		{"GB", "E14\u00a05AB", "E14 5AB", true},
		{"JP", "100−0005", "100-0005", true},
		{"US", "98109-1234", "98109-1234", true},
		{"PR", "PR 00901", "00901", true},
		{"PR", "10001", "10001", false},
		{"SE", "SE-111 34", "111 34", true},
		{"LT", "LT-01103", "01103", true},
		{"AE", "whatever", "WHATEVER", true},
		{"NG", "101241", "101241", true},
		{"NG", "1", "1", false},
		{"CZ", "110 00", "110 00", true},
		{"XK", "10000", "10000", true},
		{"IR", "۱۱۳۶۹-۱۴۴۹۳", "11369-14493", true},
	} {
		got, ok := c.addresses[x.country].postalCode(x.typed)
		if ok != x.ok || ok && got != x.want {
			t.Errorf("%s %q: %q %v, want %q %v", x.country, x.typed, got, ok, x.want, x.ok)
		}
	}
}

func TestCountries(t *testing.T) {
	t.Parallel()
	set := newCountrySet(countriesTable)
	if len(set) != 250 {
		t.Errorf("%d codes, want the 249 of the standard and XK", len(set))
	}
	for _, c := range []muster.Country{"", "XX", "ZZ", "UK", "EU", "AN", "SU", "AA", "de", "DEU", "XXA", "XXB"} {
		if set[c] {
			t.Errorf("%q is accepted", c)
		}
	}
	for _, c := range []muster.Country{"DE", "XK", "XXA", "XXB", "SS", "PS", "TW"} {
		if !set.nationality(c) {
			t.Errorf("%q is refused as a nationality", c)
		}
	}
}

func TestNormalText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "", "Ann Lee": "Ann Lee", "  Ann \t Lee ": "Ann Lee", "Jose\u0301": "Jos\u00e9", "\u200fمحمد\u200e": "محمد", "می\u200cخواهم": "می\u200cخواهم",
		"A\u00a0B": "A B",
	} {
		if got := normalText(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	for _, name := range []string{"Suharto", "王小明", "فاطمة المنصوري", "நா. முத்துக்குமார்", "ශ්\u200dරී", "می\u200cخواهم", "O’Brien-Müller Jr.", "ชัย\u200bวัฒน์", "X Æ A-12", "𠮷野"} {
		if strings.ContainsFunc(name, badRune) {
			t.Errorf("%q is refused", name)
		}
	}
	for _, r := range "\x00\n\t\x7f\u0085\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029\ue000\ufffd\ufffe\U000e0041\U0010ffff" {
		if !badRune(r) {
			t.Errorf("%U is accepted", r)
		}
	}
}

// TestEditions holds what facts will name against what is compiled in.
func TestEditions(t *testing.T) {
	t.Parallel()
	c := newChecker(t)
	for _, table := range []string{"addresses", "countries", "iban", "ip_country", "phones"} {
		if c.editions[table] == "" {
			t.Errorf("%s has no edition", table)
		}
	}
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`nyaruka/phonenumbers (v\S+)`).FindSubmatch(mod)
	if m == nil || phonesEdition != "phonenumbers "+string(m[1]) {
		t.Errorf("phonesEdition is %q, go.mod has %q", phonesEdition, m)
	}
}
