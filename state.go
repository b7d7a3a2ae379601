package muster

// States of an application. The moves between them are one table in package onboard.
const (
	AppReceived  = "received"
	AppNeeds     = "needs"
	AppReview    = "review"
	AppApproved  = "approved"
	AppRefused   = "refused"
	AppExpired   = "expired"
	AppWithdrawn = "withdrawn"
)

// States of an account.
const (
	AccPending   = "pending"
	AccActive    = "active"
	AccLimited   = "limited"
	AccSuspended = "suspended"
	AccClosing   = "closing"
	AccClosed    = "closed"
)

// AccountStates lists them.
var AccountStates = []string{AccPending, AccActive, AccLimited, AccSuspended, AccClosing, AccClosed}

// Deployment modes, fixed at first start.
const (
	ModeProduction = "production"
	ModeSandbox    = "sandbox"
)
