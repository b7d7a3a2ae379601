package muster_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/muster-cip/muster"
)

func TestLimitsJoinToTheTightest(t *testing.T) {
	t.Parallel()
	n := func(i int) *int { return &i }
	got := muster.Limits{Products: []string{"vm", "dns"}, GPU: "single", Instances: n(4), Regions: []string{"eu"}, Spend: &muster.Money{Amount: 100, Currency: "EUR"}}.Tighten(
		muster.Limits{Products: []string{"vm"}, GPU: "none", Instances: n(9), Regions: []string{"us"}, Deny: []string{"mail"}, OutboundMail: "closed", Days: n(3), Spend: &muster.Money{Amount: 50, Currency: "EUR"}})
	want := muster.Limits{Products: []string{"vm"}, GPU: "none", Instances: n(4), Regions: []string{"none"}, Deny: []string{"mail"}, OutboundMail: "closed", Days: n(3), Spend: &muster.Money{Amount: 50, Currency: "EUR"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
