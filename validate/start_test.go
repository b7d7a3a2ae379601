package validate

import (
	"runtime"
	"testing"
)

// TestTablesAreReadInPlace holds what loading costs: the address ranges are two
// megabytes of program text and nothing on the heap.
func TestTablesAreReadInPlace(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	l, err := NewLocator()
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if grew := after.TotalAlloc - before.TotalAlloc; grew > 64<<10 {
		t.Errorf("opening the table took %d bytes", grew)
	}
	if n := testing.AllocsPerRun(100, func() { l.Country(testIP) }); n != 0 {
		t.Errorf("a look-up allocates %v times", n)
	}
}
