package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/onboard"
)

// Lookups compares names that are not on file (onboard.Lookups).
type Lookups interface {
	Screen(ctx context.Context, by muster.Principal, qs []muster.ScreeningQuery, floor float64, limit int) (*onboard.NamesFound, error)
}

// Bounds of one batch.
const (
	maxScreenings = 100
	maxSpellings  = 20
	maxSpelling   = 16 << 10 // bytes: longer than a name is, so that one is not cut but refused
)

// Screenings asks to compare a batch of names with the watch lists.
type Screenings struct {
	Queries []ScreeningQuery `json:"queries" minItems:"1" maxItems:"100"`
	Floor   float64          `json:"floor,omitempty" minimum:"0" maximum:"1" doc:"leave out candidates below it; absent: the floor of the packs in effect"`
	Limit   int              `json:"limit,omitempty" minimum:"1" maximum:"50" doc:"candidates for each query at most; absent: 10"`
}

// ScreeningQuery is one person or thing.
type ScreeningQuery struct {
	ID          string                    `json:"id,omitempty" maxLength:"64" doc:"yours: it comes back with the answer"`
	Names       []string                  `json:"names" minItems:"1" maxItems:"20" doc:"spellings of one name"`
	Kind        muster.ListedKind         `json:"kind,omitempty" enum:"individual,entity,vessel,aircraft"`
	Births      []string                  `json:"births,omitempty" maxItems:"10" doc:"YYYY, YYYY-MM or YYYY-MM-DD: of birth, of an entity of formation"`
	Countries   []muster.Country          `json:"countries,omitempty" maxItems:"20" doc:"of address and formation"`
	Nations     []muster.Country          `json:"nations,omitempty" maxItems:"20" doc:"nationalities"`
	Identifiers []muster.ListedIdentifier `json:"identifiers,omitempty" maxItems:"20" doc:"looked up exactly"`
}

// ScreeningAnswer is what a query met, best first.
type ScreeningAnswer struct {
	ID         string             `json:"id,omitempty"`
	Candidates []muster.Candidate `json:"candidates" nullable:"false"`
}

// ScreeningsAnswer answers a batch, in its order.
type ScreeningsAnswer struct {
	Lists     []muster.ListRef  `json:"lists" nullable:"false" doc:"snapshots that were compared with"`
	Matcher   int               `json:"matcher" doc:"version of the matcher"`
	Threshold float64           `json:"threshold" doc:"at which packs in effect call a candidate a hit; the lowest of them"`
	Answers   []ScreeningAnswer `json:"answers" nullable:"false"`
}

// screenNames reads and writes bytes itself: a program asks it for every sign-up,
// and the comparison takes less than the library's reading would.
func (a *API) screenNames(c *call, r *http.Request) error {
	data, err := c.body(r, "application/json")
	if err != nil {
		return err
	}
	var in Screenings
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if tooDeep(data) || d.Decode(&in) != nil || d.More() {
		return muster.Errorf(muster.CodeMalformed, "the body is not a batch of screenings")
	}
	qs, faults := in.queries()
	if faults != nil {
		return muster.Invalid(faults...)
	}
	found, err := a.Lookups.Screen(r.Context(), c.by, qs, in.Floor, in.Limit)
	if err != nil {
		return err
	}
	out := ScreeningsAnswer{Lists: found.Lists, Matcher: found.Matcher, Threshold: found.Threshold, Answers: make([]ScreeningAnswer, len(qs))}
	for i := range qs {
		out.Answers[i] = ScreeningAnswer{in.Queries[i].ID, listed(found.Found[i])}
	}
	return c.json(http.StatusOK, &out)
}

func (in *Screenings) queries() (qs []muster.ScreeningQuery, faults []muster.Fault) {
	fault := func(bad bool, pointer, code, detail string) {
		if bad {
			faults = append(faults, muster.Fault{Pointer: pointer, Code: code, Detail: detail})
		}
	}
	fault(len(in.Queries) == 0 || len(in.Queries) > maxScreenings, "/queries", "length", "a batch has 1 to 100 queries")
	fault(in.Floor < 0 || in.Floor > 1, "/floor", "range", "0 to 1")
	fault(in.Limit < 0 || in.Limit > 50, "/limit", "range", "1 to 50")
	if faults != nil {
		return nil, faults
	}
	qs = make([]muster.ScreeningQuery, len(in.Queries))
	for i := range in.Queries {
		x := &in.Queries[i]
		at := "/queries/" + strconv.Itoa(i)
		long := false
		for _, n := range x.Names {
			long = long || len(n) > maxSpelling
		}
		fault(len(x.Names) == 0 || len(x.Names) > maxSpellings, at+"/names", "length", "1 to 20 spellings")
		fault(long, at+"/names", "too_long", "a name has at most 16 kB")
		fault(len(x.ID) > 64, at+"/id", "too_long", "at most 64 bytes")
		fault(len(x.Identifiers) > 20 || len(x.Countries) > 20 || len(x.Nations) > 20 || len(x.Births) > 10, at, "length", "at most 20 identifiers, countries and nations, and 10 births")
		switch x.Kind {
		case "", muster.ListedIndividual, muster.ListedEntity, muster.ListedVessel, muster.ListedAircraft:
		default:
			fault(true, at+"/kind", "unknown_value", "individual, entity, vessel or aircraft")
		}
		q := muster.ScreeningQuery{Names: x.Names, Kind: x.Kind, Countries: x.Countries, Nations: x.Nations, Identifiers: x.Identifiers}
		for k, b := range x.Births {
			d, ok := muster.ParsePartialDate(b)
			fault(!ok, at+"/births/"+strconv.Itoa(k), "not_a_date", "YYYY, YYYY-MM or YYYY-MM-DD")
			q.Births = append(q.Births, d)
		}
		qs[i] = q
	}
	return qs, faults
}

func screenNamesDoc(r huma.Registry, o *huma.Operation) {
	takes[Screenings](r, o, "application/json")
	gives(o, http.StatusOK, "application/json", schemaOf[ScreeningsAnswer](r))
}

// Tunings begins forecasts of hits at each threshold (onboard.Service).
type Tunings interface {
	BeginTune(ctx context.Context, by muster.Principal) (*muster.SweepRecord, error)
	Labelled(ctx context.Context, by muster.Principal, labels []onboard.Label) (*onboard.Precision, error)
}

type tuneOutput struct{ Body Sweep }

func (a *API) beginTune(ctx context.Context, _ *struct{}) (*tuneOutput, error) {
	r, err := a.Tunings.BeginTune(ctx, callOf(ctx).by)
	if err != nil {
		return nil, err
	}
	return &tuneOutput{sweepOf(r)}, nil
}

type labelsInput struct {
	Body struct {
		Labels []onboard.Label `json:"labels" minItems:"1" maxItems:"5000" doc:"pairs of which you know whether they are one person"`
	}
}

type labelsOutput struct{ Body *onboard.Precision }

func (a *API) labelled(ctx context.Context, in *labelsInput) (*labelsOutput, error) {
	p, err := a.Tunings.Labelled(ctx, callOf(ctx).by, in.Body.Labels)
	if err != nil {
		return nil, err
	}
	return &labelsOutput{p}, nil
}
