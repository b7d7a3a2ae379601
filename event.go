package muster

import "time"

// Kinds of jobs.
const (
	JobPublish       = "publish.event"   // Payload: an Event; becomes one JobWebhook for each endpoint that wants it
	JobWebhook       = "deliver.webhook" // Ref: webhook id; Payload: an Event
	JobSendCode      = "send.code"       // Ref: challenge id
	JobDue           = "application.due" // Ref: application id
	JobSweep         = "screening.sweep" // Payload: a SweepOrder; screens everybody on file against what changed in a list
	JobTune          = "screening.tune"  // Ref: sweep id; screens everybody on file to forecast hits at each threshold
	JobHitDue        = "hit.due"         // Ref: hit id; its reporting clock has run out
	JobMeasure       = "measure.apply"   // Ref: id of an act on the register: brings accounts up to it
	JobMeasureCatch  = "measure.catch"   // Ref: id of an act: looks again at who was decided around its beginning
	JobMeasureNotice = "measure.notice"  // Ref: account id; says to listeners and on the record what it comes under
	JobCohort        = "cohort.due"      // Ref: a cohort's name; its members are decided, so many a day
	JobRetain        = "retention.day"   // Payload: how far the day's run has come
	JobEpoch         = "keys.epoch"      // Payload: since when the epoch of the keys is known
	JobRotate        = "keys.rotate"     // Ref: rotation id
)

// EventTest is the type of the event that tries out an endpoint. Every endpoint takes it.
const EventTest = "webhook.test"

// Event is what leaves the house in a webhook: ids and outcomes, never a value.
// Who wants more fetches it, with the rights of their own token.
type Event struct {
	ID   string    `json:"id"`   // PrefixMessage: the webhook-id, the same over endpoints, retries and replays
	Type string    `json:"type"` // account.changed, decision.made, ...: what a WebhookRecord's Events name
	At   time.Time `json:"timestamp"`
	Data EventData `json:"data"`
}

// EventData are the ids that an event concerns; what does not apply is "".
type EventData struct {
	Application  string  `json:"application,omitempty"`
	Reference    string  `json:"reference,omitempty"` // the provider's own, of the application
	Account      string  `json:"account,omitempty"`   // the provider's own reference
	Customer     string  `json:"customer,omitempty"`
	Decision     string  `json:"decision,omitempty"`
	Review       string  `json:"review,omitempty"`
	Hit          string  `json:"hit,omitempty"`
	State        string  `json:"state,omitempty"`         // of the application
	AccountState string  `json:"account_state,omitempty"` //
	Outcome      Outcome `json:"outcome,omitempty"`
	Measure      string  `json:"measure,omitempty"` // id of a determination
}
