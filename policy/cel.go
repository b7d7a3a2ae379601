package policy

import (
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/ext"
)

// Bounds of one condition. They are part of format 1.
const (
	maxExprBytes  = 1 << 10  // of one expression
	maxExprsBytes = 32 << 10 // of all in a pack
	maxExprDepth  = 24       // of the parser's recursion
	maxExprNodes  = 256
	maxCost       = 20_000 // estimated for the largest facts there are
	freeCost      = 2_000  // estimates up to this need no metering at run time: the estimate is a bound
	sizeOfString  = 64     // longest string that facts hold
	sizeOfList    = 64     // longest list that facts hold
)

// applicationVars may be read by every condition.
func applicationVars() []cel.EnvOption {
	return []cel.EnvOption{
		cel.Variable("owners.beneficial", cel.IntType),
		cel.Variable("owners.control", cel.IntType),
		cel.Variable("owners.foreign", cel.IntType),
		cel.Variable("owners.us", cel.IntType),
		cel.Variable("owners.presumed", cel.IntType),
		cel.Variable("owners.open", cel.IntType),
		cel.Variable("owners.stated", cel.DoubleType),
		cel.Variable("owners.unknown", cel.DoubleType),
		cel.Variable("signatories.named", cel.IntType),
		cel.Variable("payment.means", cel.StringType),
		cel.Variable("payment.country", cel.StringType),
		cel.Variable("payment.network", cel.StringType),
		cel.Variable("access.country", cel.StringType),
		cel.Variable("notice.shown", cel.BoolType),
		cel.Variable("notice.version", cel.StringType),
		cel.Variable("request.products", cel.ListType(cel.StringType)),
		cel.Variable("application.state", cel.StringType),
		cel.Variable("application.relation", cel.StringType),
		cel.Variable("application.parent", cel.StringType),
		cel.Variable("account.state", cel.StringType),
		cel.Variable("account.days_interim", cel.IntType),
		cel.Variable("review.cleared", cel.ListType(cel.StringType)),
		cel.Variable("review.refused", cel.BoolType),
		cel.Variable("measures.prohibit", cel.ListType(cel.StringType)),
		cel.Variable("measures.conditions", cel.ListType(cel.StringType)),
		cel.Variable("measures.verify", cel.ListType(cel.StringType)),
		cel.Variable("measures.doubtful", cel.ListType(cel.StringType)),
		cel.Variable("measures.coming", cel.ListType(cel.StringType)),
		cel.Variable("absent", cel.ListType(cel.StringType)),
		cel.Variable("event", cel.StringType),
		cel.Variable("mode", cel.StringType),
		cel.Variable("magic", cel.StringType), // sandbox only: the outcome that the applicant asked to see
		cel.Variable("now", cel.TimestampType),
	}
}

// screeningVars are those of a screening, below "screening." (everybody on file and
// the payer), "customer.screening." and "subject.screening.".
func screeningVars(prefix string) []cel.EnvOption {
	list := cel.ListType(cel.StringType)
	return []cel.EnvOption{
		cel.Variable(prefix+"screening.done", cel.BoolType),     // some list that the pack names was looked at
		cel.Variable(prefix+"screening.open", cel.IntType),      // hits that nobody has resolved
		cel.Variable(prefix+"screening.confirmed", cel.IntType), // resolved: true
		cel.Variable(prefix+"screening.cleared", cel.IntType),   // resolved: false
		cel.Variable(prefix+"screening.best", cel.DoubleType),   // score of the best candidate that is not resolved
		cel.Variable(prefix+"screening.exact", list),            // kinds of identifiers that are the same, of open hits
		cel.Variable(prefix+"screening.lists", list),            // that were looked at
		cel.Variable(prefix+"screening.missing", list),          // required and not loaded
		cel.Variable(prefix+"screening.stale", list),            // older than the pack allows
		cel.Variable(prefix+"screening.age_days", cel.IntType),  // of the oldest list
	}
}

// partyVars are those of one subject, below "customer." and "subject.".
func partyVars(prefix string) []cel.EnvOption {
	list := cel.ListType(cel.StringType)
	return []cel.EnvOption{
		cel.Variable(prefix+"kind", cel.StringType),
		cel.Variable(prefix+"role", cel.StringType),
		cel.Variable(prefix+"country", cel.StringType),
		cel.Variable(prefix+"country_claimed", cel.StringType),
		cel.Variable(prefix+"nationalities", list),
		cel.Variable(prefix+"formation", cel.StringType),
		cel.Variable(prefix+"us_person_claim", cel.StringType),
		cel.Variable(prefix+"foreign", cel.StringType),
		cel.Variable(prefix+"beneficial", cel.BoolType),
		cel.Variable(prefix+"shown", list),
		cel.Variable(prefix+"contradicted", list),
		cel.Variable(prefix+"open", list),
		cel.Variable(prefix+"methods", list),
		cel.Variable(prefix+"shows_nationality", list),
		cel.Variable(prefix+"shows_residence", list),
		cel.Variable(prefix+"shows_formation", list),
		cel.Variable(prefix+"shows_location", list),
		cel.Variable(prefix+"share", cel.DoubleType),
		cel.Variable(prefix+"control", cel.BoolType),
		cel.Variable(prefix+"absent", list),
	}
}

// environments returns those of a pack format: for conditions on the whole
// application, and for conditions on one subject of it.
func environments(format int, counts []Count) (application, subject *cel.Env, err error) {
	options := []cel.EnvOption{
		cel.ParserRecursionLimit(maxExprDepth),
		cel.ParserExpressionSizeLimit(maxExprBytes),
		cel.ParserErrorRecoveryLimit(4),
		cel.ExpressionNodeLimit(maxExprNodes),
		cel.RegexProgramSizeLimit(256),
		cel.CrossTypeNumericComparisons(true),
		cel.ASTValidators(cel.ValidateComprehensionNestingLimit(1), cel.ValidateRegexLiterals(),
			cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals()),
		ext.Sets(ext.SetsVersion(0)),
	}
	options = append(options, applicationVars()...)
	options = append(options, partyVars("customer.")...)
	options = append(options, screeningVars("")...)
	options = append(options, screeningVars("customer.")...)
	for _, c := range counts {
		options = append(options, cel.Variable("counts."+c.Name, cel.IntType))
	}
	if application, err = cel.NewEnv(options...); err != nil {
		return nil, nil, err
	}
	subject, err = application.Extend(slices.Concat(partyVars("subject."), screeningVars("subject."))...)
	return application, subject, err
}

// sizes are the largest values that facts hold, for the estimate of cost.
type sizes struct{}

func (sizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

func (sizes) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	if p := n.Path(); len(p) == 0 {
		return nil
	}
	switch n.Type().Kind() {
	case cel.ListKind:
		return &cost.SizeEstimate{Min: 0, Max: sizeOfList}
	case cel.StringKind:
		return &cost.SizeEstimate{Min: 0, Max: sizeOfString}
	}
	return nil
}
