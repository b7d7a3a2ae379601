package programme

import (
	"time"

	"github.com/muster-cip/muster/gate"
	"github.com/muster-cip/muster/policy"
)

// GateRules is the fail table of the packs in effect at an instant: an action is
// allowed where a pack says so and none denies it. Where no pack has a table, what
// runs goes on and nothing new begins. observe: no pack enforces.
func (p *Programme) GateRules(t time.Time) (f gate.Fail, observe bool) {
	enforce, watching := p.At(t)
	if observe = len(enforce) == 0; observe {
		enforce = watching
	}
	var allow, deny gate.Fail
	tables := 0
	for _, pack := range enforce {
		rows := pack.Document().Fail
		if len(rows) > 0 && pack.Document().Kind != policy.KindSandbox {
			tables++
		}
		for _, row := range rows {
			unknown := row.Unknown
			if unknown == "" {
				unknown = row.Answer
			}
			put(&allow.Stale, &deny.Stale, row.Action, row.Answer)
			put(&allow.Unknown, &deny.Unknown, row.Action, unknown)
		}
	}
	if tables == 0 {
		return gate.DefaultFail, observe
	}
	return gate.Fail{Stale: allow.Stale &^ deny.Stale, Unknown: allow.Unknown &^ deny.Unknown}, observe
}

func put(allow, deny *gate.ActionSet, action, answer string) {
	if answer == "allow" {
		*allow |= gate.Actions(action)
	} else {
		*deny |= gate.Actions(action)
	}
}
