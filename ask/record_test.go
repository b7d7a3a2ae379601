package ask

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/gate"
)

func asked(r *Recorder, account, action string) {
	q := gate.Request{Account: account, Action: action}
	a := gateFunc(provider).Decide(&q, now)
	r.note(authZEN, action, &a, now)
}

func TestEveryDenialIsRecordedAndOneOfManyAllowed(t *testing.T) {
	t.Parallel()
	r, s := recorder(t, func(c *RecorderConfig) { c.Sample = 10 })
	for range 100 {
		asked(r, "r-open", muster.ActionUse)
	}
	for range 7 {
		asked(r, "r-denied", muster.ActionUse)
	}
	asked(r, "r-denied", "alice@example.com") // an action can be anything that a caller sent
	asked(r, "r-observed", muster.ActionFirstOrder)
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(s.batches) != 1 {
		t.Fatal(len(s.batches))
	}
	got := map[string]int64{}
	for _, x := range s.batches[0].Records {
		got[x.Action+" "+string(x.Answer)] += x.Count
	}
	for want, n := range map[string]int64{"use allow": 10, "use deny": 7, "other deny": 1, "first_order would_deny": 1} {
		if got[want] != n {
			t.Errorf("%s: %d, want %d: %v", want, got[want], n, got)
		}
	}
	counts := map[string]int64{}
	for _, c := range s.batches[0].Counts {
		counts[c.Action+" "+string(c.Answer)] += c.Count
	}
	if counts["use allow"] != 100 || counts["use deny"] != 7 || counts["other deny"] != 1 {
		t.Error(counts)
	}
	if err := r.Flush(t.Context()); err != nil || len(s.batches) != 1 {
		t.Error("a batch that says nothing was sent", err)
	}
	if err := testutil.CollectAndCompare(r, strings.NewReader(`
# HELP muster_gate_answers_total Answers of the gate, by protocol, action and answer.
# TYPE muster_gate_answers_total counter
muster_gate_answers_total{action="first_order",answer="would_deny",protocol="authzen"} 1
muster_gate_answers_total{action="other",answer="deny",protocol="authzen"} 1
muster_gate_answers_total{action="use",answer="allow",protocol="authzen"} 100
muster_gate_answers_total{action="use",answer="deny",protocol="authzen"} 7
# HELP muster_gate_records_lost_total Denials and samples that were counted and could not be recorded one by one.
# TYPE muster_gate_records_lost_total counter
muster_gate_records_lost_total 0
`)); err != nil {
		t.Error(err)
	}
}

func TestAFullQueueNeverHoldsUpAnAnswerAndSaysWhatItLost(t *testing.T) {
	t.Parallel()
	r, s := recorder(t, func(c *RecorderConfig) { c.Cells = 2 })
	s.err = errors.New("the centre is away")
	for _, who := range []string{"a", "b", "c", "c", "a"} {
		asked(r, who, muster.ActionUse)
	}
	if err := r.Flush(t.Context()); err == nil {
		t.Fatal("a batch was taken by a sink that fails")
	}
	asked(r, "d", muster.ActionUse) // gathers while the first batch waits
	s.err = nil
	for range 2 {
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.batches) != 2 || s.batches[0].N != 1 || s.batches[1].N != 2 || s.batches[0].Lost != 2 || s.batches[1].Lost != 0 {
		t.Fatalf("%+v", s.batches)
	}
	if len(s.batches[0].Records) != 2 || len(s.batches[1].Records) != 1 {
		t.Errorf("%+v", s.batches)
	}
}

func TestLongListsAreCutIntoBatches(t *testing.T) {
	t.Parallel()
	r, s := recorder(t, nil)
	for i := range muster.MaxGateBatchRecords + 5 {
		asked(r, strings.Repeat("x", i%16)+string(rune('a'+i/16%26))+string(rune('a'+i/416)), muster.ActionUse)
	}
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, b := range s.batches {
		n += len(b.Records)
		if len(b.Records) > muster.MaxGateBatchRecords {
			t.Errorf("%d records", len(b.Records))
		}
	}
	if n == 0 {
		t.Error("nothing was recorded")
	}
}

// TestNothingIsCountedTwiceOrNever: whatever the sink does and however many ask at
// once, what arrives is what was answered.
func TestNothingIsCountedTwiceOrNever(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		r, s := recorder(t, func(c *RecorderConfig) { c.Sample = 3 })
		denied := 0
		for range rapid.IntRange(1, 6).Draw(rt, "rounds") {
			n := rapid.IntRange(0, 20).Draw(rt, "asked")
			denied += n
			var wg sync.WaitGroup
			for i := range n {
				wg.Go(func() { asked(r, string(rune('a'+i%3)), muster.ActionUse) })
			}
			if rapid.Bool().Draw(rt, "fails") {
				s.err = errors.New("away")
			}
			_ = r.Flush(t.Context()) // beside those who ask
			wg.Wait()
			s.err = nil
		}
		for range 3 {
			if err := r.Flush(t.Context()); err != nil {
				rt.Fatal(err)
			}
		}
		var recorded, counted int64
		for i, b := range s.batches {
			if b.N != int64(i)+1 {
				rt.Fatalf("batch %d is numbered %d", i, b.N)
			}
			for _, x := range b.Records {
				recorded += x.Count
			}
			for _, c := range b.Counts {
				counted += c.Count
			}
		}
		if recorded != int64(denied) || counted != int64(denied) {
			rt.Fatalf("%d denied, %d recorded, %d counted", denied, recorded, counted)
		}
	})
}

func TestRecorderIsACollector(t *testing.T) {
	t.Parallel()
	r, _ := recorder(t, nil)
	if err := prometheus.NewPedanticRegistry().Register(r); err != nil {
		t.Fatal(err)
	}
}

func TestBatchesOfAStrangerAreRefused(t *testing.T) {
	t.Parallel()
	r, s := recorder(t, nil)
	asked(r, "nobody", muster.ActionUse)
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	good := *s.batches[0]
	for name, break_ := range map[string]func(b *muster.GateBatch){
		"run":      func(b *muster.GateBatch) { b.Run = "x" },
		"number":   func(b *muster.GateBatch) { b.N = 0 },
		"lost":     func(b *muster.GateBatch) { b.Lost = -1 },
		"account":  func(b *muster.GateBatch) { b.Records[0].Account = "alice@example.com" },
		"protocol": func(b *muster.GateBatch) { b.Records[0].Protocol = "smtp" },
		"action":   func(b *muster.GateBatch) { b.Records[0].Action = "Alice" },
		"answer":   func(b *muster.GateBatch) { b.Records[0].Answer = "yes" },
		"count":    func(b *muster.GateBatch) { b.Records[0].Count = 0 },
		"times":    func(b *muster.GateBatch) { b.Records[0].Last = b.Records[0].First.Add(-time.Second) },
		"code":     func(b *muster.GateBatch) { b.Records[0].Code = strings.Repeat("x", 257) },
		"id":       func(b *muster.GateBatch) { b.Records[0].ID = "gtr_" },
		"counts":   func(b *muster.GateBatch) { b.Counts[0].Count = -4 },
		"too many": func(b *muster.GateBatch) { b.Records = make([]muster.GateRecord, muster.MaxGateBatchRecords+1) },
	} {
		b := good
		b.Records = append([]muster.GateRecord(nil), good.Records...)
		b.Counts = append([]muster.GateCount(nil), good.Counts...)
		if err := b.Validate(); err != nil {
			t.Fatal(err)
		}
		break_(&b)
		if muster.ErrorCode(b.Validate()) != muster.CodeInvalid {
			t.Errorf("%s: taken", name)
		}
	}
}
