package muster

import (
	"errors"
	"fmt"
	"time"
)

// Code is a stable, machine-readable kind of failure. The one table from codes
// to HTTP statuses is in package api.
type Code string

const (
	CodeMalformed    Code = "malformed"    // the bytes are not what they should be (not JSON, too deep)
	CodeInvalid      Code = "invalid"      // well formed, but values are at fault; Faults says which
	CodeUnauthorized Code = "unauthorized" // no token, or one that is not good
	CodeForbidden    Code = "forbidden"    // a good token without the permission, or four eyes missing
	CodeNotFound     Code = "not_found"    // no such thing, or none that this caller may know of
	CodeNoMethod     Code = "no_method"    // the route is there and does not take this method
	CodeConflict     Code = "conflict"     // same name, other content
	CodeIllegalMove  Code = "illegal_move" // the state table has no such move
	CodeStale        Code = "stale"        // If-Match names an older version
	CodeNeedsMatch   Code = "needs_match"  // If-Match is required and absent
	CodeGone         Code = "gone"         // erased, and a tombstone names why; or out of reach
	CodeTooLarge     Code = "too_large"    // body past its bound
	CodeRateLimited  Code = "rate_limited" // try again after RetryAfter
	CodeUnavailable  Code = "unavailable"  // a part is away; nothing was done; try again
	CodeNoSpace      Code = "no_space"     // the disk is full; nothing was done; try again once there is room
	CodeInternal     Code = "internal"     // our fault; the cause is in the log, under the request id
)

// Codes lists every code, for tables and the tests that walk them.
var Codes = []Code{
	CodeMalformed, CodeInvalid, CodeUnauthorized, CodeForbidden, CodeNotFound, CodeNoMethod, CodeConflict, CodeIllegalMove,
	CodeStale, CodeNeedsMatch, CodeGone, CodeTooLarge, CodeRateLimited, CodeUnavailable, CodeNoSpace, CodeInternal,
}

// Fault is one thing wrong with one field of an input.
// Detail never repeats the value.
type Fault struct {
	Pointer string `json:"pointer"` // JSON Pointer (RFC 6901), "" for the whole document
	Code    string `json:"code"`    // stable, snake_case: "unknown_country", "check_digits", ...
	Detail  string `json:"detail"`  // words for the person who has to correct it
}

// Error is the only error type that crosses a room's border. Message is safe to
// show to any caller; the cause can be unwrapped and is never shown.
type Error struct {
	Code       Code
	Message    string
	Faults     []Fault
	Hint       string        // what to do next, "" where there is nothing to say
	RetryAfter time.Duration // for rate_limited, unavailable and no_space
	Cause      error
}

func (e *Error) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.Cause)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Message)
}

func (e *Error) Unwrap() error { return e.Cause }

// Errorf makes an Error. An error among args becomes its cause when the format
// ends in ": %w"; the cause's text is not part of the message.
func Errorf(code Code, format string, args ...any) *Error {
	e := &Error{Code: code}
	if n := len(args); n > 0 && len(format) > 4 && format[len(format)-4:] == ": %w" {
		e.Cause, _ = args[n-1].(error)
		format, args = format[:len(format)-4], args[:n-1]
	}
	e.Message = fmt.Sprintf(format, args...)
	return e
}

// Invalid is the error for faulty fields.
func Invalid(faults ...Fault) *Error {
	return &Error{Code: CodeInvalid, Message: "some fields are at fault", Faults: faults}
}

// ErrorCode is the code of err: "" for nil, internal for an error that is not ours.
func ErrorCode(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}
