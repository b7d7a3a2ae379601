package muster

import (
	"encoding/json"
	"net/netip"
	"slices"
	"time"
	"unicode/utf8"
)

// Bounds of the ledger's two records and of a batch of them.
const (
	MaxRecordBytes   = 4 << 10 // of one record as text
	MaxBatchRecords  = 10_000
	MaxBatchBytes    = 4 << 20
	MaxRecordID      = 128
	MaxActorBytes    = 128
	MaxLeaseName     = 128
	MaxAhead         = 24 * time.Hour     // a clock that is further ahead is wrong
	MaxImprecision   = 7 * 24 * time.Hour // a lease that can be off by more says nothing
	DeviceHashDigits = 16
)

// AccessRecord is one use of an account (REG-14: addresses used for access or
// administration, with date and time of each).
type AccessRecord struct {
	ID      string     `json:"id,omitempty"` // the provider's own; two records of one id are one record
	Account string     `json:"account"`      // the provider's reference; inside the ledger, the account's id
	Actor   string     `json:"actor,omitempty"`
	IP      netip.Addr `json:"ip"`
	Port    uint16     `json:"port,omitempty"` // source port
	At      time.Time  `json:"at"`             // UTC, to the millisecond
	Action  string     `json:"action"`         // one of AccessActions
	Surface string     `json:"surface,omitempty"`
	Device  string     `json:"device,omitempty"` // hash of a device id, hex of 8 bytes

	// What Muster found when the record came, and a provider does not send.
	Country Country `json:"country,omitempty"` // of the address, at that time
	Network Network `json:"network,omitzero"`  // by the provider's own lists
}

// AccessActions are the kinds of use. New ones are appended: the ledger keeps
// their place in this list.
var AccessActions = []string{"other", "login", "api", "console", "ssh", "sftp", "panel", "order", "change", "support"}

// Network says of an address what the provider's lists say of it, a set of bits.
type Network uint8

const (
	NetworkHosting Network = 1 << iota
	NetworkAnonymiser
	NetworkTor
)

// NetworkWords are the words of the bits, lowest first.
var NetworkWords = []string{"hosting", "anonymiser", "tor"}

// Words are the words of the set.
func (n Network) Words() []string {
	var words []string
	for i, w := range NetworkWords {
		if n&(1<<i) != 0 {
			words = append(words, w)
		}
	}
	return words
}

// MarshalJSON writes the words.
func (n Network) MarshalJSON() ([]byte, error) { return json.Marshal(n.Words()) }

// UnmarshalJSON reads them.
func (n *Network) UnmarshalJSON(b []byte) error {
	var words []string
	if err := json.Unmarshal(b, &words); err != nil {
		return err
	}
	*n = 0
	for _, w := range words {
		i := slices.Index(NetworkWords, w)
		if i < 0 {
			return Errorf(CodeMalformed, "a network has an unknown hint")
		}
		*n |= 1 << i
	}
	return nil
}

// LeaseRecord is one of the provider's own resources, above all a public address,
// in one account's hands (design § 3: lease; not the lease of a duty, see Lease).
//
// A lease is told of once when it begins and again, with the same Account, Prefix or
// Name, ports and From, when its end is known: the later word holds.
type LeaseRecord struct {
	ID        string       `json:"id,omitempty"`
	Account   string       `json:"account"`
	Resource  string       `json:"resource"`                  // one of LeaseResources
	Prefix    netip.Prefix `json:"prefix,omitzero"`           // of an address or a prefix
	Name      string       `json:"name,omitempty"`            // of a host or another thing
	PortFrom  uint16       `json:"port_from,omitempty"`       // of a NAT's range; 0 and 0: all
	PortTo    uint16       `json:"port_to,omitempty"`         // inclusive
	From      time.Time    `json:"from"`                      // UTC, to the millisecond
	Until     time.Time    `json:"until,omitzero"`            // exclusive; zero: not ended as far as is known
	Source    string       `json:"source"`                    // who says so: dhcp, ipam, hypervisor, ...
	Precision string       `json:"precision" example:"1m30s"` // how far From and Until can be off, a duration
}

// LeaseResources are the kinds of resource.
var LeaseResources = []string{"address", "prefix", "host", "other"}

// oldestRecord is when records begin to be believable.
var oldestRecord = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// Faults lists what is wrong with r at time now; nil where nothing is. Pointers are
// of the field, details never hold a value.
func (r *AccessRecord) Faults(now time.Time) (faults []Fault) {
	fault := func(pointer, code, detail string) { faults = append(faults, Fault{pointer, code, detail}) }
	if !isRecordID(r.ID) {
		fault("/id", "format", "at most 128 letters, digits and signs of ASCII")
	}
	if !IsReference(r.Account) {
		fault("/account", "format", "is needed: 1 to 64 letters, digits, dots, dashes and underscores")
	}
	if len(r.Actor) > MaxActorBytes || !printable(r.Actor) {
		fault("/actor", "format", "at most 128 bytes of text in one line")
	}
	if !r.IP.IsValid() || r.IP.Zone() != "" || r.IP.Is4In6() || r.IP.IsUnspecified() || r.IP.IsMulticast() {
		fault("/ip", "address", "is needed: an IPv4 or IPv6 address of one host")
	}
	if !believable(r.At, now) {
		fault("/at", "time", "is needed: a time since 2000, at most a day ahead of this clock")
	}
	if !slices.Contains(AccessActions, r.Action) {
		fault("/action", "unknown_action", "is needed: one of the documented kinds")
	}
	if r.Surface != "" && !isWord(r.Surface) {
		fault("/surface", "format", "at most 32 lower-case letters, digits, dots, dashes and underscores")
	}
	if r.Device != "" && !isDeviceHash(r.Device) {
		fault("/device", "format", "16 lower-case hexadecimal digits: a hash, never the device's own number")
	}
	return faults
}

// Faults lists what is wrong with r at time now; nil where nothing is.
func (r *LeaseRecord) Faults(now time.Time) (faults []Fault) {
	fault := func(pointer, code, detail string) { faults = append(faults, Fault{pointer, code, detail}) }
	if !isRecordID(r.ID) {
		fault("/id", "format", "at most 128 letters, digits and signs of ASCII")
	}
	if !IsReference(r.Account) {
		fault("/account", "format", "is needed: 1 to 64 letters, digits, dots, dashes and underscores")
	}
	byAddress := r.Resource == "address" || r.Resource == "prefix"
	switch {
	case !slices.Contains(LeaseResources, r.Resource):
		fault("/resource", "unknown_resource", "is needed: address, prefix, host or other")
	case byAddress && (!r.Prefix.IsValid() || r.Prefix != r.Prefix.Masked() || r.Prefix.Addr().Is4In6()):
		fault("/prefix", "address", "is needed: an address, or a prefix without bits past its length")
	case r.Resource == "address" && !r.Prefix.IsSingleIP():
		fault("/prefix", "address", "an address is one address; for more the resource is prefix")
	case byAddress && r.Prefix.Bits() == 0:
		fault("/prefix", "address", "nobody holds every address")
	case !byAddress && r.Prefix.IsValid():
		fault("/prefix", "not_here", "only an address or a prefix has one")
	case !byAddress && r.Name == "":
		fault("/name", "required", "is needed: what the thing is called")
	}
	if len(r.Name) > MaxLeaseName || !printable(r.Name) {
		fault("/name", "format", "at most 128 bytes of text in one line")
	}
	if (r.PortFrom == 0) != (r.PortTo == 0) || r.PortFrom > r.PortTo || r.PortFrom != 0 && r.Resource != "address" {
		fault("/port_from", "range", "a range of ports has both ends in rising order, and belongs to an address")
	}
	if !believable(r.From, now) {
		fault("/from", "time", "is needed: a time since 2000, at most a day ahead of this clock")
	}
	if !r.Until.IsZero() && r.Until.Before(r.From) {
		fault("/until", "time", "not before from")
	}
	if !isWord(r.Source) {
		fault("/source", "format", "is needed: at most 32 lower-case letters, digits, dots, dashes and underscores")
	}
	if d, err := time.ParseDuration(r.Precision); err != nil || len(r.Precision) > 16 || d < 0 || d > MaxImprecision {
		fault("/precision", "duration", "is needed: how far the times can be off, such as 0s, 500ms or 5m, at most 168h")
	}
	return faults
}

// Holds reports whether r says that addr (and port, 0 for any) was held at t, give
// or take within and the lease's own precision; exact: also without that.
func (r *LeaseRecord) Holds(addr netip.Addr, port uint16, t time.Time, within time.Duration) (holds, exact bool) {
	if !r.Prefix.IsValid() || !r.Prefix.Contains(addr.Unmap()) || port != 0 && r.PortTo != 0 && (port < r.PortFrom || port > r.PortTo) {
		return false, false
	}
	slack, err := time.ParseDuration(r.Precision)
	if err != nil {
		slack = 0
	}
	slack += within
	ended := func(slack time.Duration) bool { return !r.Until.IsZero() && !t.Before(r.Until.Add(slack)) }
	return !t.Before(r.From.Add(-slack)) && !ended(slack), !t.Before(r.From) && !ended(0)
}

func believable(t, now time.Time) bool {
	return !t.Before(oldestRecord) && !t.After(now.Add(MaxAhead))
}

func isRecordID(s string) bool {
	if len(s) > MaxRecordID {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func isWord(s string) bool {
	if s == "" || len(s) > 32 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '.' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

func isDeviceHash(s string) bool {
	if len(s) != DeviceHashDigits {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !('0' <= c && c <= '9' || 'a' <= c && c <= 'f') {
			return false
		}
	}
	return true
}

// printable reports whether s is UTF-8 without control characters.
func printable(s string) bool {
	for i := range len(s) {
		switch {
		case s[i] < ' ' || s[i] == 0x7f:
			return false
		case s[i] >= utf8.RuneSelf:
			return utf8.ValidString(s) && !hasControl(s)
		}
	}
	return true
}

func hasControl(s string) bool {
	for _, r := range s {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 {
			return true
		}
	}
	return false
}
