package ledger

import (
	"math/bits"
	"slices"
)

// chooseTimes finds the way that takes fewest bits, roughly.
func chooseTimes(t []int64) (mode int, anchor, period int64) {
	if len(t) < 4 {
		return timeDeltas, 0, 0
	}
	deltas := make([]int64, len(t)-1)
	cost := [timeModes]int{}
	for i := range deltas {
		deltas[i] = t[i+1] - t[i]
		cost[timeDeltas] += bits.Len64(uint64(deltas[i]))
		if i > 0 {
			cost[timeSteps] += bits.Len64(zigzag(deltas[i] - deltas[i-1]))
		}
	}
	cost[timeSteps] += bits.Len64(uint64(deltas[0]))
	slices.Sort(deltas)
	least := deltas[0]
	cost[timeOver] = 32
	for _, d := range deltas {
		cost[timeOver] += bits.Len64(uint64(d - least))
	}
	// Half a second below the middle of the middle: jitter is late more than early.
	period = (deltas[len(deltas)/2] + 500) / 1000 * 1000
	cost[timeGrid] = 1 << 60
	if period > 0 && len(t) >= 6 {
		// The anchor is so early that nothing is before its point of the grid.
		early := int64(0)
		for _, x := range t {
			d := x - t[0]
			early = min(early, d-(d+period/2)/period*period)
		}
		anchor = max(t[0]+early, 0)
		cost[timeGrid] = 48
		k := int64(0)
		for _, x := range t {
			next := (x - anchor) / period
			cost[timeGrid] += bits.Len64(uint64(x-anchor-next*period)) + 2*bits.Len64(zigzag(next-k-1))
			k = next
		}
	}
	for m := range timeModes {
		if cost[m] < cost[mode] {
			mode = m
		}
	}
	if mode == timeOver {
		period = least
	}
	return mode, anchor, period
}

// codeTimes codes a.times, and the classes of the gaps between them.
func (a *accessCoder) codeTimes(mode int, anchor, period int64) {
	lengths := func(mode int, before uint64) int {
		return ctxTimeLength + (mode*timeBefore+min(bits.Len64(before)/3, timeBefore-1))*lengthContexts
	}
	mantissas := ctxTimeMantissa + mode*mantissaContexts
	var t, step, k int64
	var before uint64
	if mode == timeGrid {
		anchor = int64(a.direct(33, uint64(anchor)))
		period = int64(a.direct(33, uint64(period)))
		if period == 0 {
			a.bad = true
			return
		}
		k = -1
	}
	if mode == timeOver {
		period = int64(a.direct(33, uint64(period)))
	}
	for i := range a.times {
		x := a.times[i]
		switch {
		case mode == timeGrid:
			var next, late int64
			if !a.read {
				next = (x - anchor) / period
				late = x - anchor - next*period
			}
			next = k + 1 + unzigzag(a.number(ctxSkip, ctxSkip+lengthContexts, zigzag(next-k-1)))
			before = a.number(lengths(mode, before), mantissas, uint64(late))
			late = int64(before)
			x, k = anchor+next*period+late, next
		case mode == timeDeltas || i == 0:
			before = a.number(lengths(mode, before), mantissas, uint64(x-t))
			x, step = t+int64(before), int64(before)
		case mode == timeOver:
			before = a.number(lengths(mode, before), mantissas, uint64(x-t-period))
			x = t + period + int64(before)
		default:
			before = a.number(lengths(mode, before), mantissas, zigzag(x-t-step))
			step += unzigzag(before)
			x = t + step
		}
		if a.read && (x < t || x > 1<<33) { // a quarter has less than 2^33 ms
			a.bad = true
			return
		}
		a.times[i] = x
		if x >= a.until && t < a.from { // it went past without one: nothing else is read
			a.none = true
			return
		}
		gap := x - t
		class := uint8(0)
		for _, edge := range [...]int64{1000, 60_000, 900_000, 3 * 3_600_000, 12 * 3_600_000} {
			if gap >= edge {
				class++
			}
		}
		a.gaps[i] = class
		t = x
	}
}
