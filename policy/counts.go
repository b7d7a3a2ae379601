package policy

import (
	"time"

	"github.com/muster-cip/muster"
)

// CountAbusers is the count of customers whose account was closed for abuse.
const CountAbusers = "abusers"

// CountDef is one number that packs want from the blind indexes.
type CountDef struct {
	Key    string               // in Facts.Counts
	Of     string               // kind of value: card, phone, email, document, device, wallet, ip
	Count  string               // customers | applications | abusers
	Roles  []muster.SubjectRole // whose values count
	Window Period               // back from now; zero: ever
}

// Since is the start of the window at time now, zero for ever.
func (c CountDef) Since(now time.Time) time.Time {
	w := c.Window
	if w.IsZero() {
		return time.Time{}
	}
	return now.AddDate(-w.Years, -w.Months, -w.Days).Add(-time.Duration(w.Hours) * time.Hour)
}

// CountsWanted lists the counts that the packs' rules read, each once, in the
// order of the packs. Two packs that define one name differently each get their own key.
func CountsWanted(packs []*Pack) []CountDef {
	var out []CountDef
	seen := map[string]Count{}
	for _, p := range packs {
		for _, c := range p.doc.Counts {
			key := c.Name
			if old, ok := seen[key]; ok {
				if same(old, c) {
					continue
				}
				key = p.doc.ID + "/" + c.Name
			}
			seen[key] = c
			roles := c.Roles
			if len(roles) == 0 {
				roles = []muster.SubjectRole{muster.RoleCustomer}
			}
			window, _ := ParsePeriod(c.Window)
			out = append(out, CountDef{Key: key, Of: c.Of, Count: c.Count, Roles: roles, Window: window})
		}
	}
	return out
}

func same(a, b Count) bool {
	if a.Of != b.Of || a.Count != b.Count || a.Window != b.Window || len(a.Roles) != len(b.Roles) {
		return false
	}
	for i := range a.Roles {
		if a.Roles[i] != b.Roles[i] {
			return false
		}
	}
	return true
}
