package muster

// Country is a code as an application may state it: ISO 3166-1 alpha-2, XK
// (Kosovo, user-assigned), and for nationality only ICAO Doc 9303's XXA
// (stateless) and XXB (refugee, 1951 Convention). "" is unknown.
type Country string

// Jurisdiction folds territories that are part of the United States (insular
// areas under 48 U.S.C. and ISO 3166-2:US) into US; every other code is itself.
func (c Country) Jurisdiction() Country {
	for _, t := range territories {
		if c == t {
			return "US"
		}
	}
	return c
}

var territories = [...]Country{"AS", "GU", "MP", "PR", "UM", "VI"}

// Parts are the codes whose Jurisdiction is that of c.
func (c Country) Parts() []Country {
	if c.Jurisdiction() == "US" {
		return append([]Country{"US"}, territories[:]...)
	}
	return []Country{c}
}
