package api

import (
	"net/http"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/ask"
	"github.com/muster-cip/muster/book"
)

// Permissions that are no scope of a token.
const (
	Public muster.Scope = "public" // no token
	Anyone muster.Scope = "anyone" // any good token, whatever it carries
)

// traits of a route.
const (
	once    = 1 << iota // takes Idempotency-Key: a write that has no reference of its own
	match               // takes If-Match: an edit of what somebody may have edited since
	file                // its body is an application or a part of one
	pack                // its body holds a policy pack
	batch               // its body is a batch that numbers itself: sent again it has no effect
	archive             // its body is an archive of list files; the same again changes nothing
	bare                // it answers 2xx, 401 and 403 and nothing else
	records             // its body is a batch of records, which is its own reference
	lines               // its body is lines of a book, which name themselves: sent again they have no effect
	part                // its body is a part of an archive; the same again changes nothing
)

// route is one row of the table of contents.
type route struct {
	method, path string
	scope        muster.Scope
	id           string // operation id
	status       int    // when it went well
	traits       int
	says         string
	serve        endpoint
}

// bound is how many bytes of body the route takes.
func (rt *route) bound() int64 {
	switch {
	case rt.traits&file != 0:
		return muster.MaxApplicationBytes
	case rt.traits&pack != 0:
		return 1 << 20
	case rt.traits&archive != 0:
		return maxArchive
	case rt.traits&batch != 0:
		return muster.MaxGateBatchBytes
	case rt.traits&lines != 0:
		return book.MaxBytes
	case rt.traits&part != 0:
		return maxPart
	case rt.traits&records != 0:
		return muster.MaxBatchBytes
	}
	return 64 << 10
}

// decideFor bounds a request that may decide something. The store refuses what is
// written later: a process that was stopped in the middle of it knows no longer what
// is in effect.
const decideFor = 30 * time.Second

// decides reports whether the route may bring about a decision.
func (rt *route) decides() bool {
	if rt.method == get {
		return false
	}
	switch rt.scope {
	case muster.ScopeApply, muster.ScopeEvidence, muster.ScopeReview, muster.ScopeAccounts:
		return true
	}
	return false
}

// unmatched stands for the route of a call that has none.
var unmatched = &route{path: "unmatched"}

const (
	get, post, patch, del = http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete
	ok, made, later, none = http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent
)

// routes is the API's table of contents. Whatever is not here is 404.
func (a *API) routes() []*route {
	logScope := muster.ScopeRead
	if a.PublicLog {
		logScope = Public
	}
	return []*route{
		{post, "/v1/applications", muster.ScopeApply, "apply", made, file, "Post an application; the same one again gives the same answer", raw(a.apply, applyDoc)},
		{get, "/v1/applications", muster.ScopeRead, "listApplications", ok, 0, "Applications, newest last", op(a.listApplications)},
		{get, "/v1/applications/{application}", muster.ScopeRead, "getApplication", ok, 0, "An application, by id or reference, redacted", op(a.getApplication)},
		{patch, "/v1/applications/{application}/claims", muster.ScopeApply, "correctClaims", ok, file | match, "Supply or correct claims of an open application (JSON Merge Patch)", raw(a.correct, correctDoc)},
		{post, "/v1/applications/{application}/withdrawal", muster.ScopeApply, "withdraw", ok, match, "Take an application back", op(a.withdraw)},
		{post, "/v1/applications/{application}/challenges", muster.ScopeApply, "challenge", made, once, "Send the customer a one-time code", op(a.challenge)},
		{post, "/v1/challenges/{challenge}/response", muster.ScopeApply, "respond", ok, once, "Answer a challenge with the code that came", op(a.respond)},
		{post, "/v1/applications/{application}/evidence", muster.ScopeEvidence, "recordEvidence", made, once, "Record what was seen", op(a.recordEvidence)},
		{post, "/v1/applications/{application}/reveal", muster.ScopeReveal, "reveal", ok, 0, "See personal values, for a purpose, on the record", op(a.reveal)},
		{get, "/v1/applications/{application}/decisions", muster.ScopeRead, "listDecisions", ok, 0, "Decisions on an application, oldest first", op(a.listDecisions)},

		{get, "/v1/decisions/{decision}", muster.ScopeRead, "getDecision", ok, 0, "A decision, with every rule that held", op(a.getDecision)},
		{get, "/v1/decisions/{decision}/bundle", muster.ScopeReveal, "getBundle", ok, 0, "What proves a decision offline, with the facts that an audience may see", raw(a.getBundle, bundleDoc)},

		{get, "/v1/customers", muster.ScopeRead, "listCustomers", ok, 0, "Customers, newest last, redacted", op(a.listCustomers)},
		{get, "/v1/customers/{customer}", muster.ScopeRead, "getCustomer", ok, 0, "A customer with their accounts, redacted", op(a.getCustomer)},
		{get, "/v1/customers/{customer}/copy", muster.ScopeReveal, "getCopy", ok, 0, "A person's own copy of what is kept of them, for that person; on the record", op(a.getCopy)},
		{get, "/v1/accounts/{account}", muster.ScopeRead, "getAccount", ok, 0, "An account, by id or the provider's reference", op(a.getAccount)},
		{post, "/v1/accounts/{account}/moves", muster.ScopeAccounts, "moveAccount", ok, match, "Move an account", op(a.moveAccount)},

		{get, "/v1/reviews", muster.ScopeRead, "listReviews", ok, 0, "Cases that wait for a person", op(a.listReviews)},
		{get, "/v1/reviews/{review}", muster.ScopeRead, "getReview", ok, 0, "A case", op(a.getReview)},
		{post, "/v1/reviews/{review}/resolution", muster.ScopeReview, "resolveReview", ok, match, "Resolve a case; 202 while it waits for a second operator", op(a.resolveReview, resolveDoc)},

		{post, ask.EvaluationPath, muster.ScopeGateAsk, "evaluate", ok, 0, "AuthZEN: may this account do this?", quickly(a.authZEN().Evaluation, evaluationDoc("6"))},
		{post, ask.EvaluationsPath, muster.ScopeGateAsk, "evaluateAll", ok, 0, "AuthZEN: several questions at once", quickly(a.authZEN().Evaluations, evaluationDoc("7"))},
		{get, ask.DiscoveryPath, Public, "authZENConfiguration", ok, 0, "AuthZEN: where its endpoints are", raw(a.discovery, discoveryDoc)},
		{get, "/v1/gate/auth-request", muster.ScopeGateAsk, "askNginx", none, bare, "nginx's auth_request: 204, 401 or 403", quickly(a.askNginx, nginxDoc)},
		{get, "/v1/gate/keys", muster.ScopeGateFollow, "listGateKeys", ok, 0, "The public key that signs what edges follow; two while it turns", op(a.gateKeys)},
		{get, "/v1/gate/head", muster.ScopeGateFollow, "getGateHead", ok, 0, "The gate's latest signed head", raw(a.getGateHead, gateDoc)},
		{get, "/v1/gate/snapshot", muster.ScopeGateFollow, "getGateSnapshot", ok, 0, "All that the gate knows, signed", raw(a.getGateSnapshot, gateDoc)},
		{get, "/v1/gate/changes", muster.ScopeGateFollow, "followGate", ok, 0, "What changes at the gate from a state on: a stream that does not end", raw(a.followGate, gateChangesDoc)},
		{get, "/v1/gate/records", muster.ScopeRead, "listGateRecords", ok, 0, "What the gate answered: every denial, samples of the rest", op(a.listGateRecords)},
		{post, "/v1/gate/records", muster.ScopeGateFollow, "putGateRecords", none, batch, "What an edge answered", op(a.putGateRecords)},
		{get, "/v1/hits", muster.ScopeRead, "listHits", ok, 0, "Hits on watch lists, oldest first; which entry is behind a reveal", op(a.listHits)},
		{get, "/v1/hits/{hit}", muster.ScopeRead, "getHit", ok, 0, "A hit", op(a.getHit)},
		{post, "/v1/hits/{hit}/resolution", muster.ScopeReview, "resolveHit", ok, match, "Find a hit true or false; 202 while it waits for a second operator", op(a.resolveHit, resolveHitDoc)},
		{post, "/v1/hits/{hit}/report", muster.ScopeReview, "reportHit", ok, match, "Record that a true hit was reported, which stops its clock", op(a.reportHit)},
		{post, "/v1/hits/{hit}/reveal", muster.ScopeReveal, "revealHit", ok, 0, "See the entry of a hit and how it was compared, word by word, for a purpose, on the record", op(a.revealHit)},

		{post, "/v1/screenings", muster.ScopeScreen, "screenNames", ok, 0, "Compare a batch of names with the watch lists; nothing of it is kept", raw(a.screenNames, screenNamesDoc)},
		{post, "/v1/screenings/forecasts", muster.ScopeScreen, "beginForecast", later, once, "Begin a forecast of hits at each threshold, over everybody on file", op(a.beginTune)},
		{post, "/v1/screenings/labels", muster.ScopeScreen, "scoreLabels", ok, pack, "Precision and recall on labelled pairs, at each threshold", op(a.labelled)},
		{get, "/v1/sweeps", muster.ScopeRead, "listSweeps", ok, 0, "Screenings of everybody on file, and how far they are", op(a.listSweeps)},
		{get, "/v1/sweeps/{sweep}", muster.ScopeRead, "getSweep", ok, 0, "A screening of everybody on file", op(a.getSweep)},

		{get, "/v1/packs", muster.ScopeRead, "listPacks", ok, 0, "Policy packs and their activations", op(a.listPacks)},
		{get, "/v1/packs/{digest}/source", muster.ScopeRead, "getPackSource", ok, 0, "A pack's bytes, as they were compiled", raw(a.getPackSource, packSourceDoc)},
		{post, "/v1/packs", muster.ScopePacks, "proposeActivation", later, once | pack, "Upload a pack and propose that it decide from an instant on", op(a.proposeActivation)},
		{post, "/v1/packs/replays", muster.ScopePacks, "replayDecisions", ok, pack, "Decide past decisions again under a draft; nothing changes", op(a.replayDecisions)},
		{post, "/v1/packs/activations/{activation}/approval", muster.ScopePacks, "approveActivation", ok, once, "Approve an activation, as another operator", op(a.approveActivation)},

		{get, "/v1/measures", muster.ScopeRead, "listMeasures", ok, 0, "Special measures and the acts on them", op(a.listMeasures)},
		{get, "/v1/measures/{measure}", muster.ScopeRead, "getMeasure", ok, 0, "A special measure as it stands, with its text", op(a.getMeasure)},
		{get, "/v1/measures/{measure}/source", muster.ScopeRead, "getMeasureSource", ok, 0, "A determination as it was entered", raw(a.getMeasureSource, measureSourceDoc)},
		{get, "/v1/measures/{measure}/accounts", muster.ScopeRead, "listMeasureAccounts", ok, 0, "Accounts that come under a special measure, and on which facts", op(a.listMeasureAccounts)},
		{get, "/v1/accounts/{account}/measures", muster.ScopeRead, "listAccountMeasures", ok, 0, "What a customer is told of special measures on an account", op(a.listAccountMeasures)},
		{post, "/v1/accounts/{account}/appeals", muster.ScopeApply, "appealMeasure", made, once, "A customer asks a person to look at a special measure on an account", op(a.appealMeasure)},
		{post, "/v1/measures/previews", muster.ScopeMeasures, "previewMeasure", ok, pack, "What a determination would do to the accounts on file; nothing changes", op(a.previewMeasure)},
		{post, "/v1/measures", muster.ScopeMeasures, "proposeMeasure", later, once | pack, "Propose to enact, renew, lift or license", op(a.proposeMeasure)},
		{post, "/v1/measures/acts/{act}/approval", muster.ScopeMeasures, "approveMeasure", ok, once, "Complete what was proposed, as another operator", op(a.approveMeasure)},
		{get, "/v1/exports", muster.ScopeExport, "listExports", ok, 0, "Exports of everything on file: asked for, agreed, taken", op(a.listExports)},
		{post, "/v1/exports", muster.ScopeExport, "askExport", made, once, "Ask for an export of everything on file, sealed for recipients", op(a.askExport)},
		{post, "/v1/exports/{export}/agreement", muster.ScopeExport, "agreeExport", ok, match, "Agree to an export, as another operator", op(a.agreeExport)},
		{post, "/v1/exports/{export}/archive", muster.ScopeExport, "takeExport", ok, 0, "The archive of an export that was agreed, sealed; on the record", raw(a.takeExport, takeExportDoc)},
		{post, "/v1/imports/parts", muster.ScopeImport, "regainPart", ok, part, "Take a part of an export's archive in, as it was; the same again changes nothing", raw(a.regain, regainDoc)},

		{get, "/v1/retention/preview", muster.ScopeRetain, "previewRetention", ok, 0, "What would go at an instant, by record class; nothing is written", op(a.previewRetention)},
		{get, "/v1/holds", muster.ScopeRetain, "listHolds", ok, 0, "Holds: what keeps records whatever the clock or the customer says", op(a.listHolds)},
		{post, "/v1/holds", muster.ScopeRetain, "placeHold", made, once, "Place a hold", op(a.placeHold)},
		{post, "/v1/holds/{hold}/review", muster.ScopeRetain, "reviewHold", ok, match, "Say that a hold is still wanted, and by when somebody looks again", op(a.reviewHold)},
		{post, "/v1/holds/{hold}/lifting", muster.ScopeRetain, "liftHold", ok, match, "Lift a hold", op(a.liftHold)},
		{get, "/v1/erasures", muster.ScopeRetain, "listErasures", ok, 0, "Erasures: asked for, agreed, done", op(a.listErasures)},
		{post, "/v1/erasures", muster.ScopeRetain, "askErasure", made, once, "Propose that a customer's file be erased before its time", op(a.askErasure)},
		{post, "/v1/erasures/{erasure}/agreement", muster.ScopeRetain, "agreeErasure", ok, match, "Agree to an erasure, as another operator", op(a.agreeErasure)},
		{post, "/v1/erasures/{erasure}/taking-back", muster.ScopeRetain, "takeErasureBack", ok, match, "Take an erasure back that was not begun", op(a.takeErasureBack)},
		{post, "/v1/customers/{customer}/deletion-requests", muster.ScopeApply, "requestDeletion", later, once, "Pass on that a customer asks to be erased; the answer is the same whatever keeps the records", op(a.requestDeletion)},

		{get, "/v1/keys", muster.ScopeRead, "listKeys", ok, 0, "The keys by name and version, and those that turn; nothing of the keys themselves", op(a.listKeys)},
		{post, "/v1/keys/rotations", muster.ScopeKeys, "rotateKey", later, once, "Give a key, or all of them, a new version; it goes on by itself", op(a.rotateKey)},
		{post, "/v1/keys/rotations/{rotation}/finish", muster.ScopeKeys, "finishRotation", ok, once, "End the time in which both versions of a key are good", op(a.finishRotation)},
		{get, "/v1/log/keys", logScope, "listLogKeys", ok, 0, "The log's public key, for who verifies; two while it is handed over", op(a.logKeys)},
		{get, "/v1/log/handovers", logScope, "listHandovers", ok, 0, "How the log's key was handed over to the next", op(a.listHandovers)},

		{get, "/v1/lists", muster.ScopeRead, "listLists", ok, 0, "Watch lists: which snapshot is in effect, how old it is, what waits for a person", op(a.listLists)},
		{get, "/v1/lists/{list}", muster.ScopeRead, "getList", ok, 0, "A watch list's snapshots, and what became of it", op(a.getList)},
		{get, "/v1/lists/{list}/entries/{entry}", muster.ScopeRead, "getListEntry", ok, 0, "An entry of a watch list", op(a.getListEntry)},
		{get, "/v1/lists/{list}/diff", muster.ScopeRead, "diffList", ok, 0, "What changed between two snapshots, entry by entry", op(a.diffList)},
		{post, "/v1/lists/imports", muster.ScopeLists, "importLists", ok, archive, "Bring watch lists as files; a list that lost too much waits for a person", raw(a.importLists, importListsDoc)},
		{post, "/v1/lists/updates", muster.ScopeLists, "updateLists", later, once, "Have the configured sources fetched, within seconds", op(a.updateLists)},
		{post, "/v1/lists/{list}/approval", muster.ScopeLists, "approveList", ok, once, "Put the snapshot that waits into effect, or decline it", op(a.approveList)},
		{post, "/v1/lists/{list}/rollback", muster.ScopeLists, "rollbackList", ok, once, "Put an earlier snapshot into effect again", op(a.rollbackList)},

		{post, "/v1/access-records", muster.ScopeLedger, "addAccessRecords", ok, records, "Send access records, one a line; durable when answered", raw(a.addAccess, addAccessDoc)},
		{post, "/v1/leases", muster.ScopeLedger, "addLeases", ok, records, "Send leases, one a line; durable when answered", raw(a.addLeases, addLeasesDoc)},
		{post, "/v1/logs", muster.ScopeLedger, "addLogs", ok, records, "Send both as OpenTelemetry logs (OTLP/HTTP)", raw(a.addLogs, addLogsDoc)},
		{post, "/v1/ledger/who-held", muster.ScopeReveal, "whoHeld", ok, 0, "Which account, through which reseller, held an address of ours; on the record", op(a.whoHeld)},
		{post, "/v1/ledger/who-came-from", muster.ScopeReveal, "whoCameFrom", ok, 0, "Which accounts were used from an address; on the record", op(a.whoCameFrom)},
		{post, "/v1/ledger/where-used", muster.ScopeReveal, "whereUsed", ok, 0, "Uses of an account; on the record", op(a.whereUsed)},
		{post, "/v1/ledger/places-used", muster.ScopeReveal, "placesUsed", ok, 0, "Networks and countries that an account was used from; on the record", op(a.usedPlaces)},
		{post, "/v1/ledger/shared-addresses", muster.ScopeReveal, "sharedAddresses", ok, 0, "Accounts that came from addresses of this one; on the record", op(a.sharesAddresses)},
		{post, "/v1/ledger/last-access", muster.ScopeReveal, "lastAccess", ok, 0, "When an account was used last; on the record", op(a.lastAccess)},

		{post, "/v1/imports", muster.ScopeImport, "openImport", ok, once, "Begin to take a provider's existing book in, or go on with the same file", op(a.openImport)},
		{get, "/v1/imports", muster.ScopeRead, "listImports", ok, 0, "Files of the provider's book, oldest first", op(a.listImports)},
		{get, "/v1/imports/{import}", muster.ScopeRead, "getImport", ok, 0, "How far a file of the book is, and which lines were refused", op(a.getImport)},
		{post, "/v1/imports/{import}/lines", muster.ScopeImport, "importLines", ok, lines, "Send lines of the book; what is taken is durable when answered", raw(a.importLines, importLinesDoc)},
		{post, "/v1/imports/{import}/end", muster.ScopeImport, "endImport", ok, once, "Say that a file is through: who came in with it is screened, and decided when the cohort is due", op(a.endImport)},
		{get, "/v1/cohorts", muster.ScopeRead, "listCohorts", ok, 0, "Cohorts of customers who were there before: how many, due when, decided how far", op(a.listCohorts)},
		{get, "/v1/cohorts/{cohort}", muster.ScopeRead, "getCohort", ok, 0, "A cohort", op(a.getCohort)},
		{patch, "/v1/cohorts/{cohort}", muster.ScopeImport, "changeCohort", ok, match, "Change when a cohort is due, and how many a day; 202 while a later date waits for a second operator", op(a.changeCohort, changeCohortDoc)},
		{post, "/v1/cohorts/{cohort}/agreement", muster.ScopeImport, "agreeCohort", ok, match, "Agree to a later date, as another operator", op(a.agreeCohort)},

		{get, "/checkpoint", logScope, "getCheckpoint", ok, 0, "The log's latest signed head (C2SP tlog-checkpoint)", raw(a.getCheckpoint, checkpointDoc)},
		{get, "/tile/{path...}", logScope, "getTile", ok, 0, "A tile of the log (C2SP tlog-tiles)", raw(a.getTile, tileDoc)},

		{get, "/v1/webhooks", muster.ScopeRead, "listWebhooks", ok, 0, "Endpoints that events go to", op(a.listWebhooks)},
		{get, "/v1/webhooks/{webhook}", muster.ScopeRead, "getWebhook", ok, 0, "An endpoint", op(a.getWebhook)},
		{post, "/v1/webhooks", muster.ScopeWebhooks, "addWebhook", made, once, "Add an endpoint; its secret is shown this once", op(a.addWebhook)},
		{patch, "/v1/webhooks/{webhook}", muster.ScopeWebhooks, "changeWebhook", ok, match, "Change an endpoint", op(a.changeWebhook)},
		{del, "/v1/webhooks/{webhook}", muster.ScopeWebhooks, "removeWebhook", none, match, "Remove an endpoint", op(a.removeWebhook)},
		{post, "/v1/webhooks/{webhook}/secret", muster.ScopeWebhooks, "rotateSecret", ok, match, "Make an endpoint a new secret, shown this once; the one before signs too until the next", op(a.rotateSecret)},
		{get, "/v1/webhooks/{webhook}/deliveries", muster.ScopeRead, "listDeliveries", ok, 0, "Attempts to deliver, newest message first", op(a.listDeliveries)},
		{post, "/v1/webhooks/{webhook}/replays", muster.ScopeWebhooks, "replayDelivery", later, once, "Deliver a message again, under its id", op(a.replayDelivery)},
		{post, "/v1/webhooks/{webhook}/tests", muster.ScopeWebhooks, "testWebhook", later, once, "Send an endpoint a test event", op(a.testWebhook)},

		{get, "/v1/operators", muster.ScopeOperators, "listOperators", ok, 0, "Operators", op(a.listOperators)},
		{post, "/v1/operators", muster.ScopeOperators, "addOperator", made, once, "Add an operator", op(a.addOperator)},
		{post, "/v1/operators/{operator}/disablement", muster.ScopeOperators, "disableOperator", none, once, "Disable an operator and with them all their tokens", op(a.disableOperator)},
		{get, "/v1/tokens", muster.ScopeOperators, "listTokens", ok, 0, "Tokens, without their secrets", op(a.listTokens)},
		{post, "/v1/tokens", muster.ScopeOperators, "createToken", made, once, "Make a token; its secret is shown this once", op(a.createToken)},
		{post, "/v1/tokens/{token}/revocation", muster.ScopeOperators, "revokeToken", none, once, "Revoke a token; dead within five seconds", op(a.revokeToken)},

		{get, "/v1/me", Anyone, "getMe", ok, 0, "Who this token says you are", op(a.getMe)},
		{get, "/v1/methods", muster.ScopeRead, "listMethods", ok, 0, "The table of verification methods", op(a.listMethods)},
		{get, "/v1/status", muster.ScopeRead, "getStatus", ok, 0, "What runs here, and whether its parts answer", op(a.getStatus)},

		{get, "/openapi.json", Public, "getOpenAPI", ok, 0, "This document", raw(a.getOpenAPI, openAPIDoc)},
		{get, "/healthz", Public, "getLive", ok, 0, "The process lives", op(a.getLive)},
		{get, "/readyz", Public, "getReady", ok, 0, "It and its parts can take requests", op(a.getReady)},
		{get, "/metrics", muster.ScopeMetrics, "metrics", ok, 0, "Prometheus metrics", raw(a.getMetrics, metricsDoc)},
	}
}
