package main

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/muster-cip/muster"
)

// year is the generated year of access records: the mix of people, scripts and API
// clients of a provider. Every number of it is printed with the results, for the mix
// is a guess and decides the mean.
type year struct {
	accounts int
	days     int
	seed     uint64

	carriers, offices int
}

const (
	fullScale    = 100_000 // accounts for which the pools of shared addresses are stated
	shareScripts = 0.03
	shareAPI     = 0.003
)

var yearStart = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

func newYear(accounts int, seed uint64) *year {
	return &year{accounts: accounts, days: 365, seed: seed, carriers: 8, offices: max(1, accounts/50)}
}

// accountsFor is how many accounts make about that many records in a year: 34.2
// million are 8,333 accounts'.
func accountsFor(records int) int { return max(40, records*8333/34_200_000) }

func (y *year) print(w io.Writer) {
	fmt.Fprintf(w, `generated year: %d accounts over %d days from %s, seed %d
  people     96.7 %%: accesses a day lognormal, median 1.5, sigma 1.2, at most 60; a fifth join during the year; sessions of 1.6 accesses, gaps
             lognormal with median 40 s; weekends 0.6, weekdays 1.15; laptop and phone, hash of 8 bytes; 1 %% of sessions throwaway device, 0.2 %% a new laptop
    home     55 %% IPv4 kept 60 days, else IPv6 /64 kept 90 days with a new interface part each day
    mobile   of each person 0 to 70 %% of sessions, attached for 8 h; half of %d carriers IPv4 behind %d addresses each, else a fresh IPv6 /64
    office   35 %% of people, Zipf over %d offices, a tenth of them with 4 addresses
    other    support 0.3 %% of accesses from 6 addresses; ssh is 40 %% for 15 %% of people
  scripts    3 %%: a call every 5, 10, 15, 30 or 60 minutes, late by an exponential 150 ms
  API        0.3 %%: calls a day lognormal, median 1,200, sigma 0.8; half sleep between calls (late by 150 ms), half in bursts; 1 to 4 addresses, 30 %% IPv6, 30 %% with a device hash
  no source ports, no actor, surface by kind; times in ms
`, y.accounts, y.days, yearStart.Format(time.DateOnly), y.seed, y.carriers, y.natted(), y.offices)
}

func (y *year) natted() int { return max(1, 192*y.accounts/fullScale) }

// class of an account. Machines are spread evenly, so that a small year has its share.
func (y *year) class(i int) string {
	crosses := func(share float64) bool {
		return math.Floor(float64(i+1)*share) > math.Floor(float64(i)*share)
	}
	api := max(shareAPI, 1/float64(y.accounts))
	switch {
	case crosses(api):
		return "api"
	case crosses(shareScripts):
		return "script"
	}
	return "person"
}

func (y *year) id(i int) string { return fmt.Sprintf("acc_%026d", i) }

// quantile is where account i stands among n of its kind: even, not drawn.
func (y *year) quantile(i int, share float64) float64 {
	n := math.Max(1, math.Round(float64(y.accounts)*share))
	k := math.Floor(float64(i+1) * math.Max(share, 1/float64(y.accounts)))
	return math.Min(math.Max((k-0.5)/n, 0.02), 0.98)
}

// normal is the inverse of the normal distribution (Acklam; 1e-9 is more than enough
// here, its central part alone is used with bisection at the ends).
func normal(p float64) float64 {
	low, high := -6.0, 6.0
	for range 60 {
		mid := (low + high) / 2
		if 0.5*math.Erfc(-mid/math.Sqrt2) < p {
			low = mid
		} else {
			high = mid
		}
	}
	return low
}

// records are the records of account i, in the order of time.
func (y *year) records(i int) []muster.AccessRecord {
	r := rand.New(rand.NewPCG(y.seed, uint64(i)))
	var list []muster.AccessRecord
	switch y.class(i) {
	case "api":
		list = y.api(r, i)
	case "script":
		list = y.script(r)
	default:
		list = y.person(r)
	}
	id := y.id(i)
	for j := range list {
		list[j].Account = id
		list[j].At = list[j].At.Truncate(time.Millisecond)
	}
	slices.SortStableFunc(list, func(a, b muster.AccessRecord) int { return a.At.Compare(b.At) })
	return list
}

func v4(r *rand.Rand) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(11 + r.IntN(190)), byte(r.IntN(256)), byte(r.IntN(256)), byte(r.IntN(256))})
}

// v6 is an address of a provider's /32.
func v6(r *rand.Rand, isp uint32, network uint32, host uint64) netip.Addr {
	var b [16]byte
	b[0], b[1], b[2], b[3] = 0x2a, byte(isp>>16), byte(isp>>8), byte(isp)
	b[4], b[5], b[6], b[7] = byte(network>>24), byte(network>>16), byte(network>>8), byte(network)
	for k := range 8 {
		b[8+k] = byte(host >> (56 - 8*k))
	}
	return netip.AddrFrom16(b)
}

func exponential(r *rand.Rand, mean time.Duration) time.Duration {
	return time.Duration(r.ExpFloat64() * float64(mean))
}

func device(r *rand.Rand) string { return fmt.Sprintf("%016x", r.Uint64()) }

func (y *year) script(r *rand.Rand) []muster.AccessRecord {
	period := time.Duration([]int{5, 10, 15, 30, 60}[r.IntN(5)]) * time.Minute
	at := yearStart.Add(time.Duration(r.Int64N(int64(period))))
	ip := v4(r)
	if r.Float64() < 0.3 {
		ip = v6(r, r.Uint32(), r.Uint32(), 1+r.Uint64N(100))
	}
	end := yearStart.AddDate(0, 0, y.days)
	var list []muster.AccessRecord
	for ; at.Before(end); at = at.Add(period) {
		list = append(list, muster.AccessRecord{IP: ip, At: at.Add(exponential(r, 150*time.Millisecond)), Action: "api", Surface: "v2", Country: "DE"})
	}
	return list
}

func (y *year) api(r *rand.Rand, i int) []muster.AccessRecord {
	rate := 1200 * math.Exp(0.8*normal(y.quantile(i, shareAPI)))
	if float64(y.accounts)*shareAPI < 2 {
		rate = 1200 * math.Exp(0.32) // the only one: the mean
	}
	var ips []netip.Addr
	for range 1 + r.IntN(4) {
		if r.Float64() < 0.3 {
			ips = append(ips, v6(r, r.Uint32(), r.Uint32(), 1+r.Uint64N(100)))
		} else {
			ips = append(ips, v4(r))
		}
	}
	dev := ""
	if r.Float64() < 0.3 {
		dev = device(r)
	}
	end := yearStart.AddDate(0, 0, y.days)
	var list []muster.AccessRecord
	add := func(at time.Time) {
		list = append(list, muster.AccessRecord{IP: ips[r.IntN(len(ips))], At: at, Action: "api", Surface: "v2", Device: dev, Country: "US"})
	}
	mean := time.Duration(86400 / rate * float64(time.Second))
	at := yearStart.Add(exponential(r, mean))
	if i%2 == 0 {
		for ; at.Before(end); at = at.Add(mean + exponential(r, 150*time.Millisecond)) {
			add(at)
		}
		return list
	}
	for at.Before(end) {
		n := 1 + int(r.ExpFloat64()*30)
		for range n {
			add(at)
			at = at.Add(exponential(r, 400*time.Millisecond))
		}
		at = at.Add(exponential(r, time.Duration(n)*mean))
	}
	return list
}

func (y *year) person(r *rand.Rand) []muster.AccessRecord {
	rate := math.Min(1.5*math.Exp(1.2*r.NormFloat64()), 60)
	start := 0
	if r.Float64() < 0.2 {
		start = r.IntN(y.days)
	}
	country := []muster.Country{"DE", "US", "NG", "FR", "BR", "PL"}[r.IntN(6)]
	p := &person{year: y, r: r, mobile: 0.7 * r.Float64(), laptop: device(r), phone: device(r), home6: r.Float64() >= 0.55, isp: r.Uint32N(300), carrier: r.IntN(y.carriers)}
	if r.Float64() < 0.35 {
		p.office = 1 + int(math.Min(float64(y.offices)-1, math.Exp(r.Float64()*math.Log(float64(y.offices)))))
	}
	if r.Float64() < 0.15 {
		p.ssh = 0.4
	}
	var list []muster.AccessRecord
	for day := start; day < y.days; day++ {
		date := yearStart.AddDate(0, 0, day)
		weekend := date.Weekday() == time.Saturday || date.Weekday() == time.Sunday
		mean := rate / 1.6 * 1.15
		if weekend {
			mean = rate / 1.6 * 0.6
		}
		for range poisson(r, mean) {
			// Two bumps: the morning and the evening.
			hour := 10 + 3*r.NormFloat64()
			if r.Float64() < 0.4 {
				hour = 20 + 2*r.NormFloat64()
			}
			at := date.Add(time.Duration(math.Mod(hour+48, 24) * float64(time.Hour)))
			ip, dev := p.place(at, weekend)
			for n := 0; ; n++ {
				rec := muster.AccessRecord{IP: ip, At: at, Action: "console", Surface: "web", Device: dev, Country: country}
				switch {
				case r.Float64() < 0.003:
					rec.Action, rec.Device, rec.IP = "support", "", netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(6))})
				case r.Float64() < p.ssh:
					rec.Action, rec.Surface = "ssh", ""
				case n == 0:
					rec.Action = "login"
				}
				list = append(list, rec)
				if r.Float64() < 1/1.6 {
					break
				}
				at = at.Add(time.Duration(40 * math.Exp(r.NormFloat64()) * float64(time.Second)))
			}
		}
	}
	return list
}

// poisson draws by Knuth's way; means are small.
func poisson(r *rand.Rand, mean float64) (n int) {
	for limit, p := math.Exp(-mean), r.Float64(); p > limit; p *= r.Float64() {
		n++
	}
	return n
}

// person is where somebody is, and with what.
type person struct {
	year          *year
	r             *rand.Rand
	mobile, ssh   float64
	laptop, phone string
	office        int // 0: none
	carrier       int
	isp           uint32

	home6      bool
	homeUntil  time.Time
	home       netip.Addr
	home6Net   uint32
	home6Day   int
	home6Host  uint64
	phoneUntil time.Time
	phoneIP    netip.Addr
}

func (p *person) place(at time.Time, weekend bool) (netip.Addr, string) {
	r := p.r
	if r.Float64() < 0.002 {
		p.laptop = device(r)
	}
	dev := p.laptop
	if r.Float64() < 0.01 {
		dev = device(r)
	}
	if r.Float64() < p.mobile {
		if at.After(p.phoneUntil) {
			p.phoneUntil = at.Add(exponential(r, 8*time.Hour))
			if p.carrier%2 == 0 {
				n := uint64(r.IntN(p.year.natted()))
				p.phoneIP = netip.AddrFrom4([4]byte{100, byte(p.carrier), byte(n >> 8), byte(n)})
			} else {
				p.phoneIP = v6(r, 0xff00+uint32(p.carrier), r.Uint32(), r.Uint64())
			}
		}
		return p.phoneIP, p.phone
	}
	if h := at.Hour(); p.office > 0 && !weekend && h >= 8 && h < 18 && r.Float64() < 0.7 {
		n := 0
		if p.office%10 == 0 {
			n = r.IntN(4)
		}
		return netip.AddrFrom4([4]byte{200, byte(p.office >> 8), byte(p.office), byte(n)}), dev
	}
	if at.After(p.homeUntil) {
		keep := 60 * 24 * time.Hour
		if p.home6 {
			keep = 90 * 24 * time.Hour
		}
		p.homeUntil = at.Add(exponential(r, keep))
		p.home, p.home6Net = v4(r), r.Uint32()
	}
	if !p.home6 {
		return p.home, dev
	}
	if day := at.YearDay(); day != p.home6Day || p.home6Host == 0 {
		p.home6Day, p.home6Host = day, r.Uint64()
	}
	return v6(r, p.isp, p.home6Net, p.home6Host), dev
}
