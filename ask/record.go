package ask

import (
	"context"
	"encoding/hex"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/gate"
)

// Sink takes batches: the store at the centre, the centre at an edge. A batch that
// it took is not sent again; one whose taking failed is, under its number.
type Sink interface {
	PutGateBatch(ctx context.Context, b *muster.GateBatch) error
}

// RecorderConfig of a Recorder. Sample and Cells may be left out.
type RecorderConfig struct {
	Sink  Sink
	Clock muster.Clock
	Log   *slog.Logger

	Sample uint64 // one of so many allowed answers is recorded; 0 is 1000
	Cells  int    // kinds of answers that wait at most; 0 is 16384
}

// Recorder counts every answer and records denials and samples. Note never waits:
// it takes one short lock for what is recorded and none for what is only counted.
//
// Equal answers about one account that wait together are one record with a count
// and the times of its first and last: who hammers a closed door fills one row.
// Where more kinds wait than Cells, what is over is counted as lost and said so in
// the batch, in the metrics and in the log; it is never waited for.
type Recorder struct {
	conf RecorderConfig
	run  string

	counts [protocols][actions][answers]atomic.Uint64
	seen   atomic.Uint64 // answers that only a sample records
	lost   atomic.Uint64

	mu    sync.Mutex
	cells map[cellKey]*cell

	// Of the flushing goroutine alone.
	n       int64
	sent    [protocols][actions][answers]uint64
	told    uint64
	waiting []*muster.GateBatch
}

const (
	protocols = 3
	actions   = 10 // muster.GateActions and the others
	answers   = 4
)

// cellKey is a kind of answer. Its strings are the gate's, none of the caller's.
type cellKey struct {
	account    gate.Hash
	decision   gate.DecisionID
	code, rule string
	protocol   uint8
	action     uint8
	answer     uint8
}

type cell struct {
	first, last time.Time
	count       int64
}

// NewRecorder makes a Recorder. Run it.
func NewRecorder(c RecorderConfig) *Recorder {
	if c.Sample == 0 {
		c.Sample = 1000
	}
	if c.Cells == 0 {
		c.Cells = 16384
	}
	return &Recorder{conf: c, run: muster.NewID(muster.PrefixGateRun, c.Clock()), cells: map[cellKey]*cell{}}
}

// protocol is an index into muster.GateProtocols.
type protocol uint8

const (
	authZEN protocol = iota
	envoy
	nginx
)

// actionIndex is an action's place in muster.GateActions, past it for any other.
func actionIndex(action string) uint8 {
	for i, a := range muster.GateActions {
		if a == action {
			return uint8(i)
		}
	}
	return uint8(len(muster.GateActions))
}

func answerIndex(a *gate.Answer) uint8 {
	switch {
	case !a.Allow:
		return 3
	case a.WouldDeny:
		return 2
	case a.Status == muster.GateLimited:
		return 1
	}
	return 0
}

// note counts an answer, and keeps it for the record where it is a denial, would be
// one, or falls into the sample.
func (r *Recorder) note(p protocol, action string, a *gate.Answer, now time.Time) {
	if r == nil {
		return
	}
	act, ans := actionIndex(action), answerIndex(a)
	r.counts[p][act][ans].Add(1)
	if ans < 2 && r.seen.Add(1)%r.conf.Sample != 0 {
		return
	}
	k := cellKey{account: a.Hash, decision: a.Decision, code: a.Code, rule: a.Rule, protocol: uint8(p), action: act, answer: ans}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.cells[k]
	if c == nil {
		if len(r.cells) >= r.conf.Cells {
			r.lost.Add(1)
			return
		}
		c = &cell{first: now}
		r.cells[k] = c
	}
	c.last = now
	c.count++
}

// Run hands what has gathered to the sink once a second until ctx ends, and once more
// then. A sink that fails is asked again with the same batches; meanwhile new
// answers gather, as many kinds as there are cells.
func (r *Recorder) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			if err := r.Flush(last); err != nil {
				r.conf.Log.Error("the last answers of the gate could not be recorded", "code", string(muster.ErrorCode(err)))
			}
			return nil
		}
		err := r.Flush(ctx)
		if (err != nil) != failing {
			failing = err != nil
			if failing {
				r.conf.Log.Error("answers of the gate cannot be recorded: they wait", "code", string(muster.ErrorCode(err)), "cause", err)
			} else {
				r.conf.Log.Info("answers of the gate are recorded again", "lost", r.lost.Load())
			}
		}
	}
}

// Flush hands over what has gathered. Only one goroutine may call it.
func (r *Recorder) Flush(ctx context.Context) error {
	if len(r.waiting) == 0 {
		r.gather()
	}
	for len(r.waiting) > 0 {
		if err := r.conf.Sink.PutGateBatch(ctx, r.waiting[0]); err != nil {
			return err
		}
		r.waiting = r.waiting[1:]
	}
	return nil
}

// gather cuts batches from what has gathered.
func (r *Recorder) gather() {
	now := r.conf.Clock()
	r.mu.Lock()
	cells := r.cells
	r.cells = make(map[cellKey]*cell, min(len(cells), 1024)) // what is read below is nobody else's any more
	r.mu.Unlock()
	counts, lost := r.countsSince(), r.lost.Load()
	records := make([]muster.GateRecord, 0, len(cells))
	for k, c := range cells {
		rec := muster.GateRecord{
			ID: muster.NewID(muster.PrefixGateRecord, c.first), Account: hex.EncodeToString(k.account[:]),
			Protocol: muster.GateProtocols[k.protocol], Action: actionName(k.action), Answer: muster.GateAnswers[k.answer],
			Code: k.code, Rule: k.rule, First: muster.Instant(c.first), Last: muster.Instant(c.last), Count: c.count,
		}
		if k.decision != (gate.DecisionID{}) {
			rec.Decision = k.decision.String()
		}
		records = append(records, rec)
	}
	if len(records) == 0 && len(counts) == 0 && lost == r.told {
		return
	}
	slices.SortFunc(records, func(a, b muster.GateRecord) int { return a.First.Compare(b.First) })
	for first := true; first || len(records) > 0; first = false {
		part := records[:min(len(records), muster.MaxGateBatchRecords)]
		records = records[len(part):]
		r.n++
		b := &muster.GateBatch{Run: r.run, N: r.n, At: now, Records: part}
		if first {
			b.Counts, b.Lost = counts, int64(lost-r.told)
			r.told = lost
		}
		r.waiting = append(r.waiting, b)
	}
}

func actionName(i uint8) string {
	if int(i) < len(muster.GateActions) {
		return muster.GateActions[i]
	}
	return muster.ActionOther
}

// countsSince are the counts that no batch has told yet.
func (r *Recorder) countsSince() (out []muster.GateCount) {
	r.each(func(p, act, ans int, n uint64) {
		if d := n - r.sent[p][act][ans]; d > 0 {
			out = append(out, muster.GateCount{Protocol: muster.GateProtocols[p], Action: actionName(uint8(act)), Answer: muster.GateAnswers[ans], Count: int64(d)})
			r.sent[p][act][ans] = n
		}
	})
	return out
}

func (r *Recorder) each(fn func(p, act, ans int, n uint64)) {
	for p := range r.counts {
		for act := range r.counts[p] {
			for ans := range r.counts[p][act] {
				fn(p, act, ans, r.counts[p][act][ans].Load())
			}
		}
	}
}

var (
	answersMetric = prometheus.NewDesc("muster_gate_answers_total", "Answers of the gate, by protocol, action and answer.", []string{"protocol", "action", "answer"}, nil)
	lostMetric    = prometheus.NewDesc("muster_gate_records_lost_total", "Denials and samples that were counted and could not be recorded one by one.", nil, nil)
)

// Describe and Collect make a Recorder a collector of its counts.
func (r *Recorder) Describe(ch chan<- *prometheus.Desc) {
	ch <- answersMetric
	ch <- lostMetric
}

func (r *Recorder) Collect(ch chan<- prometheus.Metric) {
	r.each(func(p, act, ans int, n uint64) {
		if n > 0 {
			ch <- prometheus.MustNewConstMetric(answersMetric, prometheus.CounterValue, float64(n), muster.GateProtocols[p], actionName(uint8(act)), string(muster.GateAnswers[ans]))
		}
	})
	ch <- prometheus.MustNewConstMetric(lostMetric, prometheus.CounterValue, float64(r.lost.Load()))
}
