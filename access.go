package muster

import (
	"net/netip"
	"time"
)

// AccessRecord is one use of an account (REG-14: addresses used for access or
// administration, with date and time of each).
type AccessRecord struct {
	ID      string     `json:"id,omitempty"` // the provider's own; two records of one id are one record
	Account string     `json:"account"`      // the provider's reference
	Actor   string     `json:"actor,omitempty"`
	IP      netip.Addr `json:"ip"`
	Port    uint16     `json:"port,omitempty"` // source port
	At      time.Time  `json:"at"`             // UTC, to the millisecond
	Action  string     `json:"action"`         // login, api, console, ssh, ...: a closed set of kinds
	Surface string     `json:"surface,omitempty"`
	Device  string     `json:"device,omitempty"` // hash of a device id, hex of 8 bytes
}

// LeaseRecord is one of the provider's own resources, above all a public address,
// in one account's hands (design § 3: lease; not the lease of a duty, see Lease).
type LeaseRecord struct {
	ID        string       `json:"id,omitempty"`
	Account   string       `json:"account"`
	Resource  string       `json:"resource"` // address | prefix | host | other
	Prefix    netip.Prefix `json:"prefix"`   // of an address or a prefix
	Name      string       `json:"name,omitempty"`
	PortFrom  uint16       `json:"port_from,omitempty"` // of a NAT's range; 0 and 0: all
	PortTo    uint16       `json:"port_to,omitempty"`
	From      time.Time    `json:"from"`
	Until     time.Time    `json:"until,omitzero"` // zero: not ended as far as is known
	Source    string       `json:"source"`         // who says so: dhcp, ipam, hypervisor, ...
	Precision string       `json:"precision"`      // how far From and Until can be off, a duration
}
