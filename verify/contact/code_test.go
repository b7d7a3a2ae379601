package contact

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/muster-cip/muster"
)

func TestCodesAreEven(t *testing.T) {
	t.Parallel()
	// 60,000 digits in 60 cells (place x digit), 1,000 expected in each, standard
	// deviation 30: a fair source stays within eight of them but for one run in 10^13.
	var seen [Digits][10]int
	for range 10_000 {
		c := NewCode()
		if len(c) != Digits || strings.Trim(c, "0123456789") != "" {
			t.Fatalf("%q is no code", c)
		}
		for i := range Digits {
			seen[i][c[i]-'0']++
		}
	}
	for i := range seen {
		for d, n := range seen[i] {
			if n < 760 || n > 1240 {
				t.Errorf("digit %d at place %d came %d times of 10,000", d, i, n)
			}
		}
	}
}

func TestACodeIsReadAsPeopleTypeIt(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		code := rapid.StringMatching(`[0-9]{6}`).Draw(t, "code")
		var typed strings.Builder
		for _, r := range code {
			if rapid.Bool().Draw(t, "wide") {
				r += '０' - '0'
			}
			typed.WriteString(rapid.SampledFrom([]string{"", " ", "-", "–", "\u00a0"}).Draw(t, "separator") + string(r))
		}
		if got, ok := ReadCode(typed.String()); !ok || got != code {
			t.Fatalf("%q: got %q, %v", typed.String(), got, ok)
		}
	})
	for _, bad := range []string{"", "12345", "1234567", "12345a", "0x1234", "123456\x00", strings.Repeat(" ", 65) + "123456"} {
		if got, ok := ReadCode(bad); ok {
			t.Errorf("%q was read as %q", bad, got)
		}
	}
}

func FuzzReadCode(f *testing.F) {
	f.Add("123 456")
	f.Add("１２３-456")
	f.Fuzz(func(t *testing.T, s string) {
		if c, ok := ReadCode(s); ok && (len(c) != Digits || strings.Trim(c, "0123456789") != "") {
			t.Errorf("%q was read as %q", s, c)
		}
	})
}

func TestLimits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		hour, day int
		ok        bool
		again     time.Duration
	}{
		{0, 0, true, 0},
		{4, 9, true, 0},
		{5, 9, false, time.Hour},
		{4, 10, false, 24 * time.Hour},
		{5, 10, false, 24 * time.Hour},
	} {
		if ok, again := DefaultLimits.Allowed(c.hour, c.day); ok != c.ok || again != c.again {
			t.Errorf("%d, %d: got %v, %v", c.hour, c.day, ok, again)
		}
	}
}

func TestEvidenceSpeaksOfTheAddressOnly(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, m := range []muster.Method{EmailMethod, PhoneMethod} {
		e, err := Evidence(m.Name, "sub_x", 3, now)
		if err != nil {
			t.Fatal(err)
		}
		if len(e.Attributes) != 1 || e.Attributes[m.Attributes[0]] != muster.Supports || e.Revision != 3 || e.Subject != "sub_x" ||
			e.Kind != m.Kind || e.Assurance != muster.AssuranceSubstantial || !e.At.Equal(now) || e.Producer != "muster" {
			t.Errorf("%s: %+v", m.Name, e)
		}
	}
	if _, err := Evidence("document.manual", "sub_x", 3, now); muster.ErrorCode(err) != muster.CodeNotFound {
		t.Errorf("got %v", err)
	}
}
