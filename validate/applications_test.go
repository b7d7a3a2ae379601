package validate

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-cip/muster"
)

var testIP = netip.MustParseAddr("95.165.33.10")

var testNow = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func newChecker(t testing.TB) *Checker {
	t.Helper()
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestSharedApplications runs the applications that the whole house is held to,
// where they are there; the golden folder holds cases of this room's own.
func TestSharedApplications(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join("..", "..", "shared", "data", "applications", "applications.ndjson"))
	if errors.Is(err, os.ErrNotExist) {
		t.Log("no shared data here; golden cases only")
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	invalid := map[int]string{
		9: "/customer/phone", 10: "/access/ip", 11: "/access/ip", 15: "/payment/wallet/address", 16: "/payment/token",
		17: "/customer/address/country", 18: "/customer/date_of_birth", 19: "/customer/name/full", 28: "/beneficial_owners",
		29: "/payment/iban", 32: "/customer/name/full", 36: "/customer/address/lines/0",
	}
	country := map[int]muster.Country{1: "DE", 12: "FR", 13: "FR", 22: "PR", 25: "RU", 33: "NG", 35: "GB", 39: "DE"}
	absent := map[int]string{2: "phone", 7: "address.postal_code"}
	asked := []string{"name", "email", "phone", "address"}
	c := newChecker(t)
	for i, line := range bytes.Split(bytes.TrimSpace(raw), []byte("\n")) {
		n := i + 1
		got, err := c.Read(line, testNow)
		if n == 21 {
			if muster.ErrorCode(err) != muster.CodeMalformed {
				t.Errorf("line 21: %v, want malformed", err)
			}
			continue
		}
		if pointer, bad := invalid[n]; bad {
			var e *muster.Error
			if !errors.As(err, &e) || e.Code != muster.CodeInvalid {
				t.Errorf("line %d: %v, want invalid", n, err)
				continue
			}
			if !slices.ContainsFunc(e.Faults, func(f muster.Fault) bool { return f.Pointer == pointer }) {
				t.Errorf("line %d: faults %v, want %s", n, e.Faults, pointer)
			}
			continue
		}
		if err != nil {
			var e *muster.Error
			errors.As(err, &e)
			t.Errorf("line %d: %v %v", n, err, e.Faults)
			continue
		}
		if want, ok := country[n]; ok && got.AccessCountry != want {
			t.Errorf("line %d: access from %q, want %q", n, got.AccessCountry, want)
		}
		for _, s := range got.Subjects {
			for _, a := range s.Absent {
				top, _, _ := strings.Cut(a, ".")
				if slices.Contains(asked, top) && a != absent[n] {
					t.Errorf("line %d: %s: %s is absent", n, s.Pointer, a)
				}
			}
		}
		if want := absent[n]; want != "" && !slices.Contains(got.Subjects[0].Absent, want) {
			t.Errorf("line %d: absent %v, want %s", n, got.Subjects[0].Absent, want)
		}
		if got, want := slices.Contains(got.Absent, "notice"), n == 37; got != want {
			t.Errorf("line %d: notice absent: %v", n, got)
		}
		three := pairwiseDifferent(got.Subjects[0].Country, got.AccessCountry, got.Application.Payment.Country)
		if three != (n == 25) {
			t.Errorf("line %d: address %s, access %s, payment %s", n, got.Subjects[0].Country, got.AccessCountry, got.Application.Payment.Country)
		}
		if n == 13 && got.Normal.IP.String() != "51.158.1.20" {
			t.Errorf("line 13: %s", got.Normal.IP)
		}
		if n == 31 {
			last := got.Subjects[len(got.Subjects)-1]
			if last.Pointer != "/beneficial_owners/1/owners/0" || last.Share != 70_000_000 || !last.Terminal || got.Ownership.Stated != muster.WholePercent {
				t.Errorf("line 31: %+v %+v", last, got.Ownership)
			}
		}
		if n == 20 && got.Normal.Subjects[0].Names[0] != "Jos\u00e9 P\u00e9rez" {
			t.Errorf("line 20: %+q", got.Normal.Subjects[0].Names)
		}
	}
}

// pairwiseDifferent is what the default pack asks of countries: an unknown one
// agrees with anything.
func pairwiseDifferent(a, b, c muster.Country) bool {
	a, b, c = a.Jurisdiction(), b.Jurisdiction(), c.Jurisdiction()
	differ := func(x, y muster.Country) bool { return x != "" && y != "" && x != y }
	return differ(a, b) && differ(b, c) && differ(a, c)
}
