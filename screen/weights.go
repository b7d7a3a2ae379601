package screen

import (
	"fmt"
	"maps"
	"slices"
)

// fields are the weights by the names that packs use.
func (w *Weights) fields() map[string]*float64 {
	return map[string]*float64{
		"weak_name": &w.WeakName, "birth_agrees": &w.BirthAgrees, "birth_year": &w.BirthYear, "birth_disagrees": &w.BirthDisagrees,
		"nation_agrees": &w.NationAgrees, "nation_differs": &w.NationDiffers, "country_agrees": &w.CountryAgrees, "kind_differs": &w.KindDiffers, "identifier": &w.Identifier,
	}
}

// WeightNames are the names that a pack may give a weight.
func WeightNames() []string {
	var w Weights
	return slices.Sorted(maps.Keys(w.fields()))
}

// WeightsOf is the defaults with what a pack says otherwise.
func WeightsOf(say map[string]float64) (Weights, error) {
	w := DefaultWeights()
	fields := w.fields()
	for _, name := range slices.Sorted(maps.Keys(say)) {
		p, ok := fields[name]
		if !ok {
			return w, fmt.Errorf("screen: there is no weight %q; there are %v", name, WeightNames())
		}
		v := say[name]
		if factor := name == "weak_name" || name == "identifier"; v < -1 || v > 1 || v != v || factor && v < 0 {
			return w, fmt.Errorf("screen: the weight %q is out of its range", name)
		}
		*p = v
	}
	return w, nil
}
