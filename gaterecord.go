package muster

import (
	"encoding/hex"
	"slices"
	"time"
)

// Prefixes of the ids of gate records and of the runs that made them.
const (
	PrefixGateRecord = "gtr_"
	PrefixGateRun    = "gtn_"
)

// GateAnswer is what the gate answered, as it is counted and recorded.
type GateAnswer string

const (
	AnswerAllow     GateAnswer = "allow"
	AnswerLimited   GateAnswer = "limited"    // allowed within the limits
	AnswerWouldDeny GateAnswer = "would_deny" // allowed, because nothing is enforced yet
	AnswerDeny      GateAnswer = "deny"
)

// GateAnswers lists them; GateProtocols are the ways in which the gate is asked.
// ActionOther stands for every action that is none of GateActions: a caller's own
// word is not kept.
var (
	GateAnswers   = []GateAnswer{AnswerAllow, AnswerLimited, AnswerWouldDeny, AnswerDeny}
	GateProtocols = []string{ProtocolAuthZEN, ProtocolEnvoy, ProtocolNginx}
)

const (
	ProtocolAuthZEN = "authzen"
	ProtocolEnvoy   = "ext_authz"
	ProtocolNginx   = "auth_request"

	ActionOther = "other"
)

// GateRecord is answers of one kind about one account between two instants: every
// denial, and samples of what was allowed.
type GateRecord struct {
	ID       string     `json:"id"`
	Account  string     `json:"account"` // keyed hash of the reference, hex: also of accounts that nobody knows
	Protocol string     `json:"protocol"`
	Action   string     `json:"action"`
	Answer   GateAnswer `json:"answer"`
	Code     string     `json:"code,omitempty"`
	Rule     string     `json:"rule,omitempty"`
	Decision string     `json:"decision,omitempty"`
	First    time.Time  `json:"first"`
	Last     time.Time  `json:"last"`
	Count    int64      `json:"count"`

	Source string `json:"source,omitempty"` // token of the edge that answered; "" for the centre. Whoever takes the record sets it
}

// GateCount is how many answers of a kind were given since the count before.
type GateCount struct {
	Protocol string     `json:"protocol"`
	Action   string     `json:"action"`
	Answer   GateAnswer `json:"answer"`
	Count    int64      `json:"count"`
}

// GateBatch is what one process has to say of its answers. Batches of a run are
// numbered from 1 on; one that was taken already is taken again without effect.
type GateBatch struct {
	Run     string       `json:"run"` // id of the process's run
	N       int64        `json:"n"`
	At      time.Time    `json:"at"`
	Records []GateRecord `json:"records"`
	Counts  []GateCount  `json:"counts"`
	Lost    int64        `json:"lost"` // denials that were counted and could not be recorded one by one
}

// Bounds of a batch: an edge is not believed without them.
const (
	MaxGateBatchRecords = 1024
	MaxGateBatchBytes   = 1 << 20
	maxGateWord         = 256
)

// Validate says whether a batch can be what a gate wrote.
func (b *GateBatch) Validate() error {
	bad := func(what string) error {
		return Errorf(CodeInvalid, "this is no batch of gate records: %s", what)
	}
	isID := func(prefix, id string) bool {
		_, ok := ParseID(prefix, id)
		return ok
	}
	if !isID(PrefixGateRun, b.Run) || b.N < 1 || b.Lost < 0 || b.At.IsZero() {
		return bad("run, n, at and lost say which it is")
	}
	if len(b.Records) > MaxGateBatchRecords || len(b.Counts) > len(GateProtocols)*(len(GateActions)+1)*len(GateAnswers) {
		return bad("it is too long")
	}
	known := func(protocol, action string, answer GateAnswer) bool {
		return slices.Contains(GateProtocols, protocol) && slices.Contains(GateAnswers, answer) &&
			(action == ActionOther || slices.Contains(GateActions, action))
	}
	for i := range b.Records {
		r := &b.Records[i]
		if hash, err := hex.DecodeString(r.Account); err != nil || len(hash) != 16 || !isID(PrefixGateRecord, r.ID) || !known(r.Protocol, r.Action, r.Answer) {
			return bad("a record names no id, account, protocol, action or answer")
		}
		if r.Count < 1 || r.First.IsZero() || r.Last.Before(r.First) || len(r.Code) > maxGateWord || len(r.Rule) > maxGateWord || len(r.Decision) > 64 {
			return bad("a record's count, times or words are out of bounds")
		}
	}
	for _, c := range b.Counts {
		if c.Count < 1 || !known(c.Protocol, c.Action, c.Answer) {
			return bad("a count names no protocol, action or answer")
		}
	}
	return nil
}
