package onboard_test

import (
	"bufio"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/onboard"
)

// lines is what is expected of each line of the shared applications: outcome, and
// the dotted fields that a refusal or a collection names.
var lines = map[int]string{
	1: "verify", 2: "collect customer.phone", 3: "verify", 4: "verify", 5: "verify", 6: "verify",
	7: "collect customer.address.postal_code", 8: "verify", 9: "invalid customer.phone", 10: "invalid access.ip",
	11: "invalid access.ip", 12: "verify", 13: "verify", 14: "verify", 15: "invalid payment.wallet.address",
	16: "invalid payment.token", 17: "invalid customer.address.country", 18: "invalid customer.date_of_birth",
	19: "invalid customer.name.full", 20: "verify", 21: "malformed", 22: "verify", 23: "verify", 24: "verify", 25: "review",
	26: "verify", 27: "collect beneficial_owners", 28: "invalid beneficial_owners", 29: "invalid payment.iban",
	30: "verify", 31: "verify", 32: "invalid customer.name.full", 33: "verify", 34: "verify", 35: "verify",
	36: "invalid customer.address.lines", 37: "collect notice", 38: "again 1", 39: "conflict reference",
}

func TestSharedApplicationsComeOutAsExpected(t *testing.T) {
	t.Parallel()
	f, err := os.Open("../../shared/data/applications/applications.ndjson")
	if err != nil {
		t.Log("the shared applications are not here: the classes below are tested in classes_test.go alone")
		return
	}
	defer f.Close()
	b := setup(t)
	b.Clock.Move(365 * day) // age of an application is no fault
	first := map[int]*onboard.Answer{}
	scan := bufio.NewScanner(f)
	scan.Buffer(nil, 1<<20)
	n := 0
	for scan.Scan() {
		n++
		a, err := b.Onboard.Apply(b.Context(), b.Anna, scan.Bytes())
		first[n] = a
		want, field, _ := strings.Cut(lines[n], " ")
		switch want {
		case "again":
			i, _ := strconv.Atoi(field)
			if err != nil || a.Created || a.Application != first[i].Application || a.Decision.ID != first[i].Decision.ID {
				t.Errorf("line %d: %+v, %v; want the application of line %d", n, a, err, i)
			}
		case "invalid", "conflict", "malformed":
			got := dotted(roomtest.Faulted(err))
			if string(muster.ErrorCode(err)) != want || field != "" && !slices.Contains(got, field) {
				t.Errorf("line %d: %v naming %v, want %s", n, err, got, lines[n])
			}
		default:
			if err != nil {
				t.Errorf("line %d: %v %v, want %s", n, err, roomtest.Faulted(err), lines[n])
				continue
			}
			var supply []string
			for _, need := range a.Decision.Needs {
				if need.Kind == muster.NeedSupply {
					supply = append(supply, need.Pointer)
				}
			}
			if got := dotted(supply); string(a.Decision.Outcome) != want || strings.Join(got, " ") != field {
				t.Errorf("line %d: %s %v, want %s", n, a.Decision.Outcome, got, lines[n])
			}
			for _, status := range a.Decision.Foreign {
				if status != muster.StatusPresumed {
					t.Errorf("line %d: %s before any evidence", n, status)
				}
			}
		}
	}
	if n != len(lines) {
		t.Errorf("%d lines, want %d", n, len(lines))
	}
	b.Clean()
}

// dotted are pointers (with anything after a space) as dotted paths without array indexes.
func dotted(pointers []string) (list []string) {
	for _, p := range pointers {
		p, _, _ = strings.Cut(p, " ")
		var steps []string
		for _, s := range strings.Split(strings.TrimPrefix(p, "/"), "/") {
			if _, err := strconv.Atoi(s); err != nil {
				steps = append(steps, s)
			}
		}
		list = append(list, strings.Join(steps, "."))
	}
	return list
}
