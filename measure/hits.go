package measure

import "github.com/muster-cip/muster"

// found reports whether a person found that the subject is this entry of a list.
func found(*muster.SubjectFacts, string, string) bool { return false }
