package ledger

import (
	"slices"
	"strconv"
	"time"

	logs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/muster-cip/muster"
)

// OpenTelemetry logs: a log record is an access record, or a lease where its event is
// named muster.lease. Its fields are attributes; one that the record lacks may stand on
// its resource. Other attributes, and the body, are not looked at.
const (
	eventAccess = "muster.access"
	eventLease  = "muster.lease"
	maxNesting  = muster.MaxNesting
)

// attribute leads from an attribute to a field. Of several that lead to one field, the
// first that is there is read: ours before those of OpenTelemetry's conventions.
type attribute struct{ key, field string }

var (
	accessAttributes = []attribute{
		{"muster.record.id", "id"},
		{"muster.account", "account"},
		{"muster.actor", "actor"},
		{"user.id", "actor"},
		{"client.address", "ip"},
		{"source.address", "ip"},
		{"client.port", "port"},
		{"source.port", "port"},
		{"muster.action", "action"},
		{"muster.surface", "surface"},
		{"muster.device", "device"},
	}
	leaseAttributes = []attribute{
		{"muster.record.id", "id"},
		{"muster.account", "account"},
		{"muster.lease.resource", "resource"},
		{"muster.lease.prefix", "prefix"},
		{"muster.lease.name", "name"},
		{"muster.lease.port_from", "port_from"},
		{"muster.lease.port_to", "port_to"},
		{"muster.lease.from", "from"},
		{"muster.lease.until", "until"},
		{"muster.lease.source", "source"},
		{"muster.lease.precision", "precision"},
	}
)

// ParseOTLP reads an ExportLogsServiceRequest in protobuf or, for asJSON, in JSON
// (opentelemetry.io/docs/specs/otlp). It is taken whole or not at all: the error names
// every record, counted from 1, and field at fault, and no value.
func ParseOTLP(body []byte, asJSON bool, now time.Time) (*Batch, error) {
	if len(body) > muster.MaxBatchBytes {
		return nil, muster.Errorf(muster.CodeTooLarge, "a batch has at most %d bytes", muster.MaxBatchBytes)
	}
	var request logs.ExportLogsServiceRequest
	var err error
	if asJSON { // unknown members are ignored, as the specification wants
		err = protojson.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: maxNesting}.Unmarshal(body, &request)
	} else {
		err = proto.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: maxNesting}.Unmarshal(body, &request)
	}
	if err != nil { // its text quotes the input
		return nil, muster.Errorf(muster.CodeMalformed, "the body is no export request of OpenTelemetry logs")
	}
	b := &Batch{}
	var faults []muster.Fault
	number := 0
	for _, resource := range request.ResourceLogs {
		for _, scope := range resource.ScopeLogs {
			for _, r := range scope.LogRecords {
				if number++; number > muster.MaxBatchRecords {
					return nil, muster.Errorf(muster.CodeTooLarge, "a batch has at most %d records", muster.MaxBatchRecords)
				}
				faults = append(faults, atLine(number, b.log(r, resource.GetResource().GetAttributes(), now))...)
				if len(faults) >= maxFaults {
					return nil, muster.Invalid(faults[:maxFaults]...)
				}
			}
		}
	}
	if faults != nil {
		return nil, muster.Invalid(faults...)
	}
	if b.Records() == 0 {
		return nil, muster.Errorf(muster.CodeMalformed, "there is no record in this batch")
	}
	return b, nil
}

// log adds one log record.
func (b *Batch) log(r *otlp.LogRecord, resource []*common.KeyValue, now time.Time) []muster.Fault {
	event := r.GetEventName()
	for _, kv := range r.GetAttributes() {
		if kv.GetKey() == "event.name" && event == "" {
			event = kv.GetValue().GetStringValue()
		}
	}
	at := r.GetTimeUnixNano()
	if at == 0 {
		at = r.GetObservedTimeUnixNano()
	}
	switch event {
	case "", eventAccess:
		var x muster.AccessRecord
		if at > 0 && at < 1<<63 {
			x.At = time.Unix(0, int64(at)).UTC().Truncate(time.Millisecond)
		}
		faults := attributes(&x, now, r.GetAttributes(), resource, accessAttributes, accessFields, (*muster.AccessRecord).Faults)
		b.Access = append(b.Access, x)
		return faults
	case eventLease:
		var x muster.LeaseRecord
		faults := attributes(&x, now, r.GetAttributes(), resource, leaseAttributes, leaseFields, (*muster.LeaseRecord).Faults)
		b.Leases = append(b.Leases, x)
		return faults
	}
	return []muster.Fault{{Code: "unknown_event", Detail: "its event is neither " + eventAccess + " nor " + eventLease + ": leave other logs out before they are exported"}}
}

// attributes fills a record from attributes, its own before those of the resource.
func attributes[R any](r *R, now time.Time, own, resource []*common.KeyValue, names []attribute, set fields[R], check func(*R, time.Time) []muster.Fault) (faults []muster.Fault) {
	values := make(map[string]*common.AnyValue, len(own)+len(resource))
	for _, list := range [][]*common.KeyValue{resource, own} {
		for _, kv := range list {
			values[kv.GetKey()] = kv.GetValue()
		}
	}
	done := map[string]bool{}
	for _, name := range names {
		v, there := values[name.key]
		if !there || done["/"+name.field] {
			continue
		}
		done["/"+name.field] = true
		text, number := plainValue(v)
		if _, wrong := set(r, name.field, text, number); wrong != nil {
			faults = append(faults, muster.Fault{Pointer: "/" + name.field, Code: wrong.Code, Detail: wrong.Detail})
		}
	}
	bad := len(faults)
	for _, f := range check(r, now) {
		if !slices.ContainsFunc(faults[:bad], func(x muster.Fault) bool { return x.Pointer == f.Pointer }) {
			faults = append(faults, f)
		}
	}
	return faults
}

// plainValue is a string or a whole number; anything else is "", which no field takes.
func plainValue(v *common.AnyValue) (text string, number bool) {
	switch v := v.GetValue().(type) {
	case *common.AnyValue_StringValue:
		if len(v.StringValue) <= muster.MaxRecordBytes {
			return v.StringValue, false
		}
	case *common.AnyValue_IntValue:
		return strconv.FormatInt(v.IntValue, 10), true
	}
	return "", false
}
