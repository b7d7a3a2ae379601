package muster

import "slices"

// Limits in the stated vocabulary. A nil or empty member sets no limit. Limits of
// several rules join to the tightest.
type Limits struct {
	Products     []string `json:"products,omitempty"`      // only these
	Deny         []string `json:"deny,omitempty"`          // not these
	GPU          string   `json:"gpu,omitempty"`           // highest class: none | shared | single | multi
	Regions      []string `json:"regions,omitempty"`       // only these
	Instances    *int     `json:"instances,omitempty"`     // at most
	OutboundMail string   `json:"outbound_mail,omitempty"` // closed | open
	Spend        *Money   `json:"spend,omitempty"`         // at most, a calendar month
	Days         *int     `json:"days,omitempty"`          // lifetime from the account's first interim use
}

// Money is an amount in a currency's minor unit.
type Money struct {
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
}

// GPUClasses are the words for Limits.GPU, in rising order.
var GPUClasses = []string{"none", "shared", "single", "multi"}

// nothing stands in a list of what is allowed when two packs allow nothing in
// common: an empty list would set no limit.
const nothing = "none"

// Tighten joins two sets of limits to the tightest of each.
func (a Limits) Tighten(b Limits) Limits {
	a.Products = common(a.Products, b.Products)
	a.Regions = common(a.Regions, b.Regions)
	for _, x := range b.Deny {
		if !slices.Contains(a.Deny, x) {
			a.Deny = append(slices.Clone(a.Deny), x)
		}
	}
	if a.GPU == "" || b.GPU != "" && slices.Index(GPUClasses, b.GPU) < slices.Index(GPUClasses, a.GPU) {
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
		if slices.Contains(b, x) {
			out = append(out, x)
		}
	}
	if out == nil {
		return []string{nothing}
	}
	return out
}
