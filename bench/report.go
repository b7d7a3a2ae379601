package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"
)

// row is one number. Target and OK are absent where nothing is promised of it.
type row struct {
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	Target string  `json:"target"`
	OK     *bool   `json:"ok"`
}

type report struct{ rows []row }

// note adds a number of which nothing is promised.
func (r *report) note(name string, value float64, unit string) {
	r.rows = append(r.rows, row{Name: name, Value: value, Unit: unit})
}

// atLeast and atMost add a number and what it is held against.
func (r *report) atLeast(name string, value float64, unit string, target float64) {
	ok := value >= target
	r.rows = append(r.rows, row{name, value, unit, ">= " + figure(target), &ok})
}

func (r *report) atMost(name string, value float64, unit string, target float64) {
	ok := value <= target
	r.rows = append(r.rows, row{name, value, unit, "<= " + figure(target), &ok})
}

// print writes an array for programs, or a table for people.
func (r *report) print(w io.Writer, asJSON bool) error {
	if asJSON {
		rows := r.rows
		if rows == nil {
			rows = []row{}
		}
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(rows)
	}
	width := 0
	for _, x := range r.rows {
		width = max(width, utf8.RuneCountInString(x.Name))
	}
	fmt.Fprintln(w)
	for _, x := range r.rows {
		verdict := ""
		if x.OK != nil {
			verdict = pick(*x.OK, "ok", "FELL SHORT")
		}
		if _, err := fmt.Fprintf(w, "%-*s  %12s %-16s %-12s %s\n", width, x.Name, figure(x.Value), x.Unit, x.Target, verdict); err != nil {
			return err
		}
	}
	return nil
}

// figure is a number with about three figures that count.
func figure(v float64) string {
	switch {
	case v == float64(int64(v)) && v < 1e15:
		return strconv.FormatInt(int64(v), 10)
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 3, 64)
}
