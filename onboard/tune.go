package onboard

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/policy"
	"github.com/muster-cip/muster/screen"
	"github.com/muster-cip/muster/vault"
)

// Forecasting runs over the provider's own sealed book. Scores are counted and no
// value comes out.

const (
	tuneLowest = 50 // per cent: scores below it are not counted
	tuneSteps  = 101 - tuneLowest
	tuneWeeks  = 4 // over which new customers are averaged
)

// Forecast is what each threshold would cost.
type Forecast struct {
	Customers int           `json:"customers"` // that were looked at
	PerWeek   float64       `json:"per_week"`  // new customers, averaged over four weeks
	Threshold float64       `json:"threshold"` // of the packs in effect, 0 where none asks for a screening
	Rows      []ForecastRow `json:"rows"`
}

// ForecastRow is one threshold.
type ForecastRow struct {
	Threshold float64 `json:"threshold"`
	Customers int     `json:"customers"` // with a hit, of those on file: what a person would have to look at once
	Hits      int     `json:"hits"`      // pairs
	Week      float64 `json:"week"`      // hits a week from new customers, at the rate of those on file
}

// tally is a forecast in the making: by score, in per cent from tuneLowest on.
type tally struct {
	Starter   string         `json:"starter"`
	Customers int            `json:"customers"`
	Best      [tuneSteps]int `json:"best"`  // customers by their best score
	Pairs     [tuneSteps]int `json:"pairs"` // candidates by score
}

// BeginTune begins a forecast over everybody on file.
func (s *Service) BeginTune(ctx context.Context, by muster.Principal) (r *muster.SweepRecord, err error) {
	if s.watch() == nil {
		return nil, muster.Errorf(muster.CodeUnavailable, "no watch list is loaded, so there is nothing to forecast")
	}
	err = s.DB.InTx(ctx, func(tx Tx) error {
		id := muster.NewID(muster.PrefixMessage, tx.Now())
		result, err := json.Marshal(tally{Starter: by.Operator})
		if err != nil {
			return muster.Errorf(muster.CodeInternal, "a forecast cannot be written: %w", err)
		}
		r = &muster.SweepRecord{ID: sweepID(id), Kind: muster.SweepTune, Made: tx.Now(), Stage: stageBook, Result: result}
		if r.Total, err = tx.CountCustomers(ctx); err != nil {
			return err
		}
		if err := tx.PutSweep(ctx, r); err != nil {
			return err
		}
		return tx.Enqueue(ctx, &muster.Job{ID: id, Kind: muster.JobTune, Ref: r.ID, RunAt: tx.Now()})
	})
	return r, err
}

// Tune goes on with a forecast, for as long as ctx lets it.
func (s *Service) Tune(ctx context.Context, job *muster.Job) (SweepState, error) {
	w := s.watch()
	if w == nil {
		return SweepState{After: time.Minute, Code: "no_list"}, nil
	}
	r, err := s.sweepRecord(ctx, job, muster.SweepRecord{Kind: muster.SweepTune, Stage: stageBook})
	if err != nil || r.Stage == stageDone {
		return SweepState{Done: true}, err
	}
	var t tally
	if err := json.Unmarshal(r.Result, &t); err != nil {
		return SweepState{}, muster.Errorf(muster.CodeInvalid, "a forecast in the making is not what it should be: %w", err)
	}
	enforce, observe := s.Programme.At(s.Clock())
	wanted, asked := policy.ScreeningWanted(slices.Concat(enforce, observe))
	o := options(wanted)
	o.Floor = tuneLowest / 100.0
	x := &sweep{Service: s, job: job, r: r, w: w, starter: t.Starter}
	over, err := x.pages(ctx, func(ctx context.Context, customers []customer) error {
		scores := make([][]float64, len(customers))
		if err := spread(ctx, len(customers), sweepShare, func(i int) error {
			for k := range customers[i].queries {
				for _, c := range w.Index.Search(&customers[i].queries[k].Query, o) {
					scores[i] = append(scores[i], c.Score)
				}
			}
			return nil
		}); err != nil {
			return err
		}
		for _, list := range scores {
			t.count(list)
		}
		data, err := json.Marshal(&t)
		r.Result = data // written with the place that it reaches to
		return err
	})
	if err != nil || !over {
		return SweepState{Code: "going_on"}, err
	}
	if err := s.forecast(ctx, r, &t, wanted, asked); err != nil {
		return SweepState{}, err
	}
	return SweepState{Done: true}, s.checkpoint(ctx, job, r)
}

func (t *tally) count(scores []float64) {
	t.Customers++
	best := -1
	for _, s := range scores {
		at := min(int(s*100+1e-9)-tuneLowest, tuneSteps-1)
		if at < 0 {
			continue
		}
		t.Pairs[at]++
		best = max(best, at)
	}
	if best >= 0 {
		t.Best[best]++
	}
}

func (s *Service) forecast(ctx context.Context, r *muster.SweepRecord, t *tally, wanted policy.Wanted, asked bool) error {
	var since int
	if err := s.DB.View(ctx, func(tx Tx) (err error) {
		since, err = tx.CountCustomersSince(ctx, r.Made.AddDate(0, 0, -7*tuneWeeks))
		return err
	}); err != nil {
		return err
	}
	f := Forecast{Customers: t.Customers, PerWeek: float64(since) / tuneWeeks}
	if asked {
		f.Threshold = wanted.Threshold
	}
	customers, pairs := 0, 0
	for at := tuneSteps - 1; at >= 0; at-- {
		customers, pairs = customers+t.Best[at], pairs+t.Pairs[at]
		row := ForecastRow{Threshold: float64(at+tuneLowest) / 100, Customers: customers, Hits: pairs}
		if t.Customers > 0 {
			row.Week = f.PerWeek * float64(pairs) / float64(t.Customers)
		}
		f.Rows = append(f.Rows, row)
	}
	slices.Reverse(f.Rows)
	data, err := json.Marshal(&f)
	if err != nil {
		return muster.Errorf(muster.CodeInternal, "a forecast cannot be written: %w", err)
	}
	r.Result, r.Stage = data, stageDone
	return nil
}

// Label is a pair of which the provider knows whether it is one person.
type Label struct {
	Application string `json:"application" maxLength:"64" doc:"id or reference"`
	List        string `json:"list" maxLength:"64"`
	Entry       string `json:"entry" maxLength:"200" doc:"the publisher's own id"`
	Same        bool   `json:"same"`
}

// Precision is how labelled pairs come out at each threshold.
type Precision struct {
	Labels  int            `json:"labels"`
	Missing int            `json:"missing"` // pairs of which the application or the entry is not there
	Rows    []PrecisionRow `json:"rows" nullable:"false"`
}

// PrecisionRow is one threshold.
type PrecisionRow struct {
	Threshold float64 `json:"threshold"`
	Found     int     `json:"found"` // same, and a hit
	Lost      int     `json:"lost"`  // same, and no hit
	False     int     `json:"false"` // another, and a hit
	Right     int     `json:"right"` // another, and no hit
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
}

const maxLabels = 5000

// Labelled scores labelled pairs against the claims on file. What comes out is counts.
func (s *Service) Labelled(ctx context.Context, by muster.Principal, labels []Label) (*Precision, error) {
	if len(labels) == 0 || len(labels) > maxLabels {
		return nil, muster.Invalid(muster.Fault{Pointer: "/labels", Code: "length", Detail: "1 to " + strconv.Itoa(maxLabels) + " labels"})
	}
	w := s.watch()
	if w == nil {
		return nil, muster.Errorf(muster.CodeUnavailable, "no watch list is loaded, so nothing can be compared")
	}
	enforce, observe := s.Programme.At(s.Clock())
	wanted, _ := policy.ScreeningWanted(slices.Concat(enforce, observe))
	session, err := s.Vault.Use(ctx, vault.Job{
		Name: "screening.labels", Purpose: "screening", Scope: strconv.Itoa(len(labels)) + " labelled pairs", Starter: by.Operator,
	}, s.Journal)
	if err != nil {
		return nil, err
	}
	out := &Precision{Labels: len(labels)}
	scores := make([]float64, len(labels))
	for i := range labels {
		if scores[i], err = s.scoreOf(ctx, session, w, &labels[i], options(wanted)); err != nil {
			break
		}
		if scores[i] < 0 {
			out.Missing++
		}
	}
	if e := session.End(ctx, len(labels)-out.Missing); err == nil {
		err = e
	}
	if err != nil {
		return nil, err
	}
	for at := tuneLowest; at <= 100; at++ {
		row := PrecisionRow{Threshold: float64(at) / 100}
		for i, l := range labels {
			switch hit := scores[i] >= row.Threshold-1e-9; {
			case scores[i] < 0:
			case l.Same && hit:
				row.Found++
			case l.Same:
				row.Lost++
			case hit:
				row.False++
			default:
				row.Right++
			}
		}
		row.Precision, row.Recall = share(row.Found, row.False), share(row.Found, row.Lost)
		out.Rows = append(out.Rows, row)
	}
	return out, nil
}

func share(a, b int) float64 {
	if a+b == 0 {
		return 0
	}
	return float64(a) / float64(a+b)
}

// scoreOf is the best score of anybody on the application with the entry; -1 where
// one of the two is not there.
func (s *Service) scoreOf(ctx context.Context, session *vault.Session, w *Watch, l *Label, o screen.Options) (float64, error) {
	if w.Index.Entry(l.List, l.Entry) == nil {
		return -1, nil
	}
	var app *muster.Application
	err := s.DB.View(ctx, func(tx Tx) error {
		f, err := s.load(ctx, tx, l.Application)
		if err != nil {
			return err
		}
		app, _, _, err = openClaims(ctx, tx, f, session.Open)
		return err
	})
	if code := muster.ErrorCode(err); code == muster.CodeNotFound || code == muster.CodeGone {
		return -1, nil
	}
	if err != nil {
		return 0, err
	}
	best := 0.0
	for _, q := range queries(app) {
		if x, ok := w.Index.Explain(&q.Query, l.List, l.Entry, o); ok {
			best = max(best, x.Candidate.Score)
		}
	}
	return best, nil
}
