package policy

import (
	"slices"

	"github.com/muster-cip/muster"
)

var gpuClasses = []string{"none", "shared", "single", "multi"} // rising

// nothing stands in a list of what is allowed when two packs allow nothing in
// common: an empty list would set no limit.
const nothing = "none"

// tighten joins two sets of limits to the tightest of each.
func tighten(a, b muster.Limits) muster.Limits {
	a.Products = common(a.Products, b.Products)
	a.Regions = common(a.Regions, b.Regions)
	for _, x := range b.Deny {
		if !contains(a.Deny, x) {
			a.Deny = append(slices.Clone(a.Deny), x)
		}
	}
	if a.GPU == "" || b.GPU != "" && slices.Index(gpuClasses, b.GPU) < slices.Index(gpuClasses, a.GPU) {
		a.GPU = b.GPU
	}
	a.Instances = least(a.Instances, b.Instances)
	a.Days = least(a.Days, b.Days)
	if a.OutboundMail == "" || b.OutboundMail == "closed" {
		a.OutboundMail = b.OutboundMail
	}
	// Amounts of two currencies cannot be compared: the first stands.
	if a.Spend == nil || b.Spend != nil && b.Spend.Currency == a.Spend.Currency && b.Spend.Amount < a.Spend.Amount {
		a.Spend = b.Spend
	}
	return a
}

func least(a, b *int) *int {
	if a == nil || b != nil && *b < *a {
		return b
	}
	return a
}

func common(a, b []string) []string {
	if len(a) == 0 || len(b) == 0 {
		return append(slices.Clip(a), b...)
	}
	var out []string
	for _, x := range a {
		if contains(b, x) {
			out = append(out, x)
		}
	}
	if out == nil {
		return []string{nothing}
	}
	return out
}
