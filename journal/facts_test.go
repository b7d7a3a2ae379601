package journal_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/vault"
)

// anything generates values of a type with every member filled or not.
func anything[T any]() *rapid.Generator[T] {
	return rapid.MakeCustom[T](rapid.MakeConfig{Types: map[reflect.Type]*rapid.Generator[any]{
		reflect.TypeFor[time.Time]():      rapid.Map(rapid.Int64Range(0, 1<<52), func(n int64) time.Time { return time.UnixMicro(n).UTC() }).AsAny(),
		reflect.TypeFor[muster.Percent](): rapid.Map(rapid.Int64Range(0, 999_999_999), func(n int64) muster.Percent { return muster.Percent(n) }).AsAny(),
	}})
}

// TestWhatIsReadIsWhatWasWritten: encoding/json wrote it, and would read the same.
func TestWhatIsReadIsWhatWasWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := anything[muster.Facts]().Draw(t, "facts")
		write := func(v any) []byte {
			data, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			return data
		}
		var want muster.Facts
		if err := json.Unmarshal(write(f), &want); err != nil {
			t.Fatal(err)
		}
		common := f
		common.Subjects = nil
		parts := []vault.OpenedPart{{Commitment: vault.Commitment{Name: vault.CommonPart}, Data: write(common)}}
		for _, s := range f.Subjects {
			parts = append(parts, vault.OpenedPart{Commitment: vault.Commitment{Name: "sub_"}, Data: write(s)})
		}
		got, erased, err := journal.Join(parts)
		if err != nil || erased > 0 {
			t.Fatal(err, erased)
		}
		if len(f.Subjects) == 0 {
			want.Subjects = nil
		}
		if d := cmp.Diff(&want, got); d != "" {
			t.Error(d)
		}

		body := write(anything[muster.Decision]().Draw(t, "decision"))
		var decided muster.Decision
		if err := json.Unmarshal(body, &decided); err != nil {
			t.Fatal(err)
		}
		read, err := journal.Decided(&muster.DecisionRecord{Body: body})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(decided, read); d != "" {
			t.Error(d)
		}
	})
}
