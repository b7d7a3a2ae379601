package endtoend

import (
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/api"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/packs"
	"github.com/muster-cip/muster/synthetic"
)

// TestWhoSleptDecidesByWhatIsInEffect: a process that was stopped while a pack and a
// measure came into effect decides by them from its first answer on.
func TestWhoSleptDecidesByWhatIsInEffect(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 45, setup{})
	f.begin()
	asleep := f.slots[2].Load()
	asleep.signal(syscall.SIGSTOP)

	source, _ := packs.Source("in-cert-in")
	var draft api.Activation
	c := f.slots[0].Load().client
	c.do("POST", "/v1/packs", map[string]any{"source": string(source), "effective": time.Now().UTC()}, &draft, http.StatusAccepted)
	c.as(f.second).do("POST", "/v1/packs/activations/"+draft.Activation+"/approval", nil, &draft, http.StatusOK)
	binds := f.enact(0, "DE")
	eventually(t, time.Minute, "both are in effect", func() bool { return time.Now().After(draft.Effective) && time.Now().After(binds) })

	// They wait in the socket of the process that is stopped, and are the first that it
	// has to do.
	type result struct {
		a   *onboard.Answer
		err error
	}
	results := make(chan result, 8)
	for i := range cap(results) {
		app := f.people.Next(f.nextOf(synthetic.Complete))
		if i%2 == 0 {
			app.Customer.Address.Country, app.Customer.Nationalities = "DE", []muster.Country{"DE"}
			app.Customer.Address.Region, app.Customer.Address.PostalCode = "", "10119"
		}
		go func() {
			a, err := asleep.apply(app)
			results <- result{a, err}
		}()
	}
	<-time.After(200 * time.Millisecond) // no more than a chance for them to be there first
	asleep.signal(syscall.SIGCONT)
	refused := 0
	for range cap(results) {
		r := <-results
		if r.err != nil {
			t.Errorf("who asked a process that slept got no answer: %v", r.err)
			continue
		}
		if !slices.ContainsFunc(r.a.Decision.Packs, func(p muster.PackRef) bool { return p.ID == "in-cert-in" }) {
			t.Errorf("%s was decided at %s without the pack that is in effect since %s", r.a.Reference, r.a.Decision.At, draft.Effective)
		}
		if r.a.State == "refused" {
			refused++
		}
	}
	if refused != cap(results)/2 {
		t.Errorf("%d of %d were refused under the measure", refused, cap(results)/2)
	}
}
